// Package worker runs cached calls: it takes them from their queues, runs the functions registered with [Handle], retries
// what fails and stores the outcomes.
//
//	w := worker.New(rdb, worker.Config{Concurrency: 20})
//	worker.Handle(w, Thumb, func(ctx context.Context, in ThumbIn) (ThumbOut, error) {
//		worker.ReportProgress(ctx, 1, 3, "downloading") // whoever reads the call sees it
//		image, err := download(ctx, in.URL)
//		if errors.Is(err, errGone) {
//			return ThumbOut{}, worker.Permanent(err) // fails at once; any other error is retried
//		}
//		…
//	})
//	err := w.Run(ctx) // until ctx ends; hands back what it cannot finish in time
//
// A function may run more than once for one call, because a worker may die or be cut off from Redis. The outcome is
// stored once.
package worker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/declared"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/tracing"
	"github.com/refq/refq/refcache"
)

// Config sets up a Worker. The zero value works.
type Config struct {
	// Concurrency is how many functions run at once. Default [DefaultConcurrency]; Run refuses a negative one, as it does MaxResult.
	Concurrency int
	// ShutdownTimeout bounds the time from the end of Run's context to its return: attempts may finish in the first
	// three quarters of it, then they are interrupted and handed back. Default [DefaultShutdownTimeout]; negative:
	// interrupt at once, and return within 1 s.
	ShutdownTimeout time.Duration
	// Backoffs are the functions that a RetryPolicy.Backoff may name: n counts the retries done before (0 first),
	// err is what the attempt failed with. The policy's cap and jitter apply to what they return. Run refuses nil ones,
	// and names that are none ([refcache.CheckName]).
	Backoffs map[string]func(n int, err error) time.Duration
	// MaxResult is the largest result in bytes of JSON; a larger one fails its task. Default [DefaultMaxResult], at most 64 MiB.
	MaxResult int
	// Logger gets what happens to the worker, and at level debug how each attempt went. Default slog.Default(). The keys of
	// what is said of an attempt are ref_id, func, attempt and, if it is traced, trace_id.
	Logger *slog.Logger
	// Traces gets a span for each attempt, below that of the call which started it; the function's context carries it.
	// Nil: none, at no cost.
	Traces trace.TracerProvider
}

// Defaults of [Config].
const (
	DefaultConcurrency     = 10
	DefaultShutdownTimeout = 8 * time.Second
	DefaultMaxResult       = 8 << 20 // bytes
)

const (
	quickShutdown = time.Second
	maxMaxResult  = 64 << 20
)

func (c Config) withDefaults() Config {
	c.Concurrency = cmp.Or(c.Concurrency, DefaultConcurrency)
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, DefaultShutdownTimeout)
	c.MaxResult = cmp.Or(c.MaxResult, DefaultMaxResult)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// shutdown is how long attempts may go on once the worker is to stop, and how long all of stopping may take.
func (c Config) shutdown() (finish, all time.Duration) {
	if c.ShutdownTimeout < 0 {
		return 0, quickShutdown
	}
	return c.ShutdownTimeout * 3 / 4, c.ShutdownTimeout
}

func (c Config) check() error {
	switch {
	case c.Concurrency < 1:
		return fmt.Errorf("worker: concurrency is %d, must be at least 1", c.Concurrency)
	case c.MaxResult < 1 || c.MaxResult > maxMaxResult:
		return fmt.Errorf("worker: max_result is %d bytes, must be 1 to %d", c.MaxResult, maxMaxResult)
	}
	for name, backoff := range c.Backoffs {
		if err := refcache.CheckName(name); err != nil {
			return fmt.Errorf("worker: backoff: %w", err)
		}
		if backoff == nil {
			return fmt.Errorf("worker: backoff %s is nil, must be a function", name)
		}
	}
	return nil
}

// Worker runs functions. Create one with New, register functions with Handle, then call Run once.
type Worker struct {
	rdb      redis.UniversalClient
	cfg      Config
	id       string
	store    *store.Store
	queue    *queue.Client
	log      *slog.Logger
	counters *counters.Counters
	tracer   tracing.Tracer
	declared *declared.Reader // of what other workers know

	handlers map[function]handler // fixed once Run is called, as are the next three
	gated    map[function]gated
	queues   map[string]bool
	declares map[string][]declared.Function // by queue

	gates map[string]*gates // by queue, once Run is called
	known *store.Known      // the same for the scripts, once Run is called

	began    atomic.Bool   // Run was called
	ran      atomic.Bool   // and served is there
	slots    queue.Slots   // one for each function that really runs
	suspect  chan struct{} // taken by the one suspect that runs
	running  running
	stopping chan struct{}      // closed when no more attempts are to be started
	served   map[string]*served // by queue, once Run is called
	outages  outages
	unready  unready

	logLimiter logLimiter // of what sweeps cannot mend
}

// New returns a Worker that uses rdb, which the caller closes after Run has returned. It panics if rdb is nil.
func New(rdb redis.UniversalClient, c Config) *Worker {
	if rdb == nil {
		panic("worker.New: the Redis client is nil")
	}
	c = c.withDefaults()
	rdb = script.New(rdb)
	s := store.New(rdb)
	w := &Worker{
		rdb: rdb, cfg: c, id: newID(), store: s, queue: queue.New(rdb, s), counters: counters.New(s), tracer: tracing.New(c.Traces),
		declared: declared.NewReader(s),
		handlers: map[function]handler{}, gated: map[function]gated{}, queues: map[string]bool{}, declares: map[string][]declared.Function{},
		slots: queue.NewSlots(max(1, c.Concurrency)), suspect: make(chan struct{}, 1), stopping: make(chan struct{}),
	}
	w.log = c.Logger.With("worker", w.id)
	w.outages.log, w.unready.worker = w.log, w
	return w
}

// newID names a worker for people, and differs at each start.
func newID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), strings.ToLower(rand.Text()[:6]))
}

// Run takes and executes calls until ctx ends, then stops within Config.ShutdownTimeout: attempts that have not
// finished by then are handed back, which costs them nothing. It returns nil after that, else the reason why it could
// not start, or how many attempts it could not hand back, because Redis did not answer: those are recovered as those of
// a killed worker are. While Redis cannot be reached it keeps trying and says so in the log once a minute.
//
// Functions run with the values of ctx, but not until its end. Call Run once.
func (w *Worker) Run(ctx context.Context) error {
	if w == nil || w.store == nil {
		return errors.New("worker: not made by worker.New")
	}
	if err := w.cfg.check(); err != nil {
		return err
	}
	if len(w.handlers) == 0 {
		return errors.New("worker: no functions to handle: register some with worker.Handle")
	}
	beats, err := w.newHeartbeats()
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	if w.began.Swap(true) {
		return errors.New("worker: Run was called before: make a new worker")
	}
	w.served = map[string]*served{}
	for name := range w.queues {
		w.served[name] = &served{asked: time.Now()}
	}
	w.ran.Store(true)
	w.known = store.NewKnown(w.Functions())
	w.gates = map[string]*gates{}
	for name := range w.queues {
		w.gates[name] = &gates{worker: w, queue: name}
	}
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	w.running.base = base
	beats.connect()
	defer beats.close()
	beats.sendAll(ctx) // before the first take, so that what this worker declares is known by then

	_, timeout := w.cfg.shutdown()
	listener, err := queue.Listen(w.rdb, queue.Config{Worker: w.id, Queues: w.Queues(), Slots: w.slots,
		Store: w.store, Known: w.known, Paused: beats.paused(), ShutdownTimeout: timeout, Logger: w.log, Dequeue: w.dequeue, CountError: w.store.CountError,
		Asked: func(queue string, err error) { w.served[queue].ask(err) },
		Due:   func(queue string, in time.Duration) { w.gates[queue].expect(in) }}, w.answer)
	if err != nil {
		w.leave(context.WithoutCancel(ctx))
		return fmt.Errorf("worker: %w", err)
	}
	beats.listens(listener)
	w.unready.listens(listener)
	background := w.startBackground(base, beats)
	w.log.Info("worker started", "queues", some(w.Queues()), "functions", some(w.Functions()), "concurrency", w.cfg.Concurrency)

	<-ctx.Done()
	return w.shutdown(listener, func() {
		w.unready.listens(nil)
		end()
		background.Wait()
		for _, g := range w.gates {
			g.stop()
		}
	})
}

// shutdown lets attempts finish, interrupts those that do not, hands them back and calls end last of all. It returns
// when all of that is done or its time is up; a Redis that does not answer holds up only what it leaves behind.
func (w *Worker) shutdown(listener *queue.Listener, end func()) error {
	finish, all := w.cfg.shutdown()
	deadline := time.NewTimer(all)
	defer deadline.Stop()
	interrupt := time.AfterFunc(finish, w.running.interrupt)
	defer interrupt.Stop()

	w.log.Info("worker stopping", "running", w.running.claimed())
	close(w.stopping)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		listener.Stop()
		listener.Shutdown()
		<-w.running.drained()
		end() // before it leaves: a beat would bring it back
		w.leave(context.WithoutCancel(w.running.base))
		w.counters.Close()
	}()
	select {
	case <-stopped:
	case <-deadline.C:
		if left := w.running.count(); left > 0 {
			return fmt.Errorf("worker: attempts not handed back within %v: %d; other workers recover them", all, left)
		}
	}
	w.log.Info("worker stopped")
	return nil
}

// Queues returns the names of the queues that the worker serves, sorted.
func (w *Worker) Queues() []string {
	return slices.Sorted(maps.Keys(w.queues))
}

// Functions returns the functions that the worker handles, as name@version, sorted.
func (w *Worker) Functions() []string {
	var names []string
	for f := range w.handlers {
		names = append(names, f.String())
	}
	slices.Sort(names)
	return names
}

// maxNamed is how many queues and functions the log line of a start names.
const maxNamed = 5

// some returns the first few names, and how many more there are.
func some(names []string) []string {
	if more := len(names) - maxNamed; more > 0 {
		return append(names[:maxNamed:maxNamed], fmt.Sprintf("and %d more", more))
	}
	return names
}

// startBackground runs what a worker does beside answering doorbells, until ctx ends.
func (w *Worker) startBackground(ctx context.Context, beats *heartbeats) *sync.WaitGroup {
	var wg sync.WaitGroup
	wg.Go(func() { w.receiveCancellations(ctx) })
	wg.Go(func() {
		each(ctx, heartbeatEvery, func() { beats.begin(ctx) })
		beats.sending.Wait()
	})
	for queue := range w.queues {
		wg.Go(func() { w.sweepQueue(ctx, queue) })
	}
	return &wg
}
