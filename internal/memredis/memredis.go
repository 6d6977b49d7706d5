// Package memredis is a Redis in this process's memory: behind a TCP port for people who have no Redis at hand, or
// reached over pipes alone, for tests. It is miniredis, and the only package that knows so. It keeps nothing, knows no
// replication, eviction or Cluster, and is a few times slower than Redis.
package memredis

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/refq/refq"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
)

// Server is a running in-memory Redis. It may be used concurrently. Keys expire by the clock, which in a
// testing/synctest bubble is the bubble's: a time.Sleep there expires keys.
type Server struct {
	redis   *miniredis.Miniredis
	server  *server.Server // what redis.Server() returns until it is closed
	addr    string
	options redis.Options // of clients, but for the Dialer
	wire    *wire

	mu     sync.Mutex
	closed bool
	conns  sync.WaitGroup
}

// Listen starts a Server that serves TCP on addr, such as "127.0.0.1:6379"; port 0 picks a free one. Anybody who can
// reach the port can use it: there is no password.
func Listen(addr string) (*Server, error) {
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(addr); err != nil {
		return nil, fmt.Errorf("start an in-memory Redis on %s: %w", addr, err)
	}
	return serve(m)
}

// New starts a Server without a port: only the clients of [Server.Client] reach it, over pipes. Made in a
// testing/synctest bubble, it works there: waiting for it is what synctest calls durably blocking.
func New() (*Server, error) {
	m := miniredis.NewMiniRedis()
	conn, err := m.Dial() // what starts miniredis without a listener
	if err != nil {
		return nil, fmt.Errorf("start an in-memory Redis: %w", err)
	}
	if err := conn.Close(); err != nil {
		return nil, fmt.Errorf("start an in-memory Redis: %w", err)
	}
	return serve(m)
}

func serve(m *miniredis.Miniredis) (*Server, error) {
	model, err := refq.Connect("redis://127.0.0.1:6379/0") // never dialled: it only carries our settings
	if err != nil {
		return nil, fmt.Errorf("settings of the in-memory Redis: %w", err)
	}
	defer model.Close()
	s := &Server{redis: m, server: m.Server(), addr: m.Addr(), options: *model.(*redis.Client).Options()}
	s.wire = newWire(s.server, m.SetTime)
	m.ClockTTL(true)
	s.server.SetPreHook(s.wire.receive)
	return s, nil
}

// info is what INFO answers: miniredis would not say what it is, nor how it keeps what it is told.
const info = "# Server\r\nserver_name:refq-memredis\r\n\r\n# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n\r\n" +
	"# Persistence\r\naof_enabled:0\r\n"

// tell answers a command that miniredis is not to answer; false: it is.
func tell(p *server.Peer, name string) bool {
	if name == "INFO" {
		p.WriteBulk(info)
	}
	return name == "INFO"
}

// Addr returns the host:port that the Server listens on, "" if it was made by [New].
func (s *Server) Addr() string {
	return s.addr
}

// connections is how many a client has at most, more than any test uses at once: a command that waits for a free one
// takes its timer from a pool of go-redis that all bubbles of testing/synctest would share, which kills the process.
const connections = 4096

// Client returns a new client, with the settings of [refq.Connect] but for the size of its pool, that reaches the
// Server over pipes. The caller closes it, before the Server: a client that outlives its Server is refused connections
// and says so in go-redis's log.
func (s *Server) Client() redis.UniversalClient {
	options := s.options
	options.Dialer = s.dial
	options.PoolSize = connections
	return redis.NewClient(&options)
}

func (s *Server) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: syscall.ECONNREFUSED}
	}
	ours, theirs := net.Pipe()
	conn := newBufferedConn(ours)
	s.conns.Go(conn.send)
	s.server.ServeConn(conn)
	return clientConn{theirs}, nil
}

// SetFaults has faults asked about every command that a client sends from now on, HELLO among them, but not about what
// scripts call. The command is what the client sent, its name in upper case: a script is an EVALSHA or, if the server
// has not met it, an EVAL that follows one. Faults is called concurrently; while it sleeps, its connection waits, no
// other. Nil ends all faults.
func (s *Server) SetFaults(faults func(cmd []string) Fault) {
	s.wire.setFaults(faults)
}

// StepClock sets the Redis's clock forward, or back if d is negative. As on a computer whose clock is set, keys expire at
// the time that they were given: a step forward may end them, a step back lets them live longer.
func (s *Server) StepClock(d time.Duration) {
	for _, key := range s.redis.Keys() {
		if left := s.redis.TTL(key); left > 0 && d < 0 { // miniredis would keep what is left
			s.redis.SetTTL(key, left-d)
		}
	}
	s.redis.SetTime(s.wire.stepClock(d))
}

// Dump returns what database 0 holds, as text for people: keys in order, long values cut.
func (s *Server) Dump() string {
	return s.redis.Dump()
}

// Close ends the Server, its connections and its goroutines. It waits up to a second for clients that do not read what
// was sent to them. Closing again does nothing.
func (s *Server) Close() {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		s.redis.Close()
		s.conns.Wait()
	}
}
