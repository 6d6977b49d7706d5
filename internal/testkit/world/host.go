package world

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// Host is a computer with a worker and a cable to Redis.
type Host struct {
	// Leaves says that the worker will not be able to hand back all of its attempts.
	Leaves bool
	// Impatient says that its client sends nothing twice. It is set before the start.
	Impatient bool
	// Redis is the worker's client.
	Redis redis.UniversalClient
	// Stop ends the worker gracefully, once. The end of the test does, too.
	Stop func()

	lag       atomic.Int64 // nanoseconds
	mu        sync.Mutex
	unplugged bool
	conns     map[net.Conn]bool
}

// Start runs a worker on a host of its own until the test ends. Without a logger it logs to the test's output.
func (w *World) Start(c worker.Config, register ...func(*worker.Worker)) *Host {
	w.Helper()
	h := &Host{}
	w.StartOn(h, c, register...)
	return h
}

// StartOn is Start for a host that the test has made: an impatient one, or one whose cable is out.
func (w *World) StartOn(h *Host, c worker.Config, register ...func(*worker.Worker)) {
	w.Helper()
	h.Redis = w.on(h)
	w.Cleanup(func() { _ = h.Redis.Close() }) // some tests have closed it
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(w.Output(), nil))
	}
	runs := worker.New(h.Redis, c)
	for _, handle := range register {
		handle(runs)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	ended := make(chan error, 1)
	go func() { ended <- runs.Run(ctx) }()
	h.Stop = sync.OnceFunc(func() {
		cancel()
		err := <-ended
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.Leaves && err == nil || err != nil && !h.Leaves && !h.unplugged {
			w.Errorf("stopping the worker: %v", err)
		}
	})
	w.Cleanup(h.Stop)
}

// on is a client of the Redis by the host's cable.
func (w *World) on(h *Host) redis.UniversalClient {
	model := w.connect().(*redis.Client)
	defer model.Close()
	options := *model.Options()
	if h.Impatient {
		options.MaxRetries = -1
	}
	options.Dialer = h.Dialer(options.Dialer)
	return redis.NewClient(&options)
}

// Handles registers fn for f.
func Handles[In, Out any](f refcache.Func[In, Out], fn func(context.Context, In) (Out, error)) func(*worker.Worker) {
	return func(w *worker.Worker) { worker.Handle(w, f, fn) }
}

// Unplug cuts the host off from Redis, as its death would. It may be called before the start.
func (h *Host) Unplug() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unplugged = true
	for conn := range h.conns {
		conn.Close()
	}
	clear(h.conns)
}

// Plug ends Unplug.
func (h *Host) Plug() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unplugged = false
}

// Lag has everything that comes from Redis arrive so much later.
func (h *Host) Lag(by time.Duration) { h.lag.Store(int64(by)) }

// Dialer makes connections by the host's cable.
func (h *Host) Dialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.unplugged {
			return nil, &net.OpError{Op: "dial", Net: "pipe", Err: syscall.ECONNREFUSED}
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if h.conns == nil {
			h.conns = map[net.Conn]bool{}
		}
		conn = &cable{conn, h}
		h.conns[conn] = true
		return conn, nil
	}
}

// cable is a connection of a host.
type cable struct {
	net.Conn
	host *Host
}

func (c *cable) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	time.Sleep(time.Duration(c.host.lag.Load()))
	return n, err
}
