package testkit

import (
	"context"
	"testing"
	"time"

	"github.com/refq/refq/internal/testkit/redisserver"
)

// Server is a redis-server for one test. Its methods must not be called concurrently.
type Server struct {
	// Addr is its host:port on the loopback interface, the same for as long as the test runs.
	Addr string

	tb   testing.TB
	runs *redisserver.Server
}

// New starts a redis-server for this test alone, with these arguments, in a folder of its own. It ends with the test.
// Without a redis-server on PATH it does what [Start] does. It reserves a unit unless the test has reserved: a test that
// starts more than this one server calls [Reserve] first.
func New(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return NewIn(tb, tb.TempDir(), args...)
}

// NewIn is [New] in this folder.
func NewIn(tb testing.TB, dir string, args ...string) *Server {
	tb.Helper()
	requireServer(tb)
	if !hasReserved(tb) {
		Reserve(tb, 1)
	}
	runs, err := redisserver.Start(append(args, "--dir", dir)...)
	if err != nil {
		tb.Fatalf("start redis-server: %v", err)
	}
	s := &Server{Addr: runs.Addr, tb: tb, runs: runs}
	tb.Cleanup(s.Stop)
	return s
}

// Stop ends the server as a service manager would, and returns when it has ended. It may be down already.
func (s *Server) Stop() {
	s.tb.Helper()
	if err := s.runs.Stop(); err != nil {
		s.tb.Errorf("stop redis-server: %v", err)
	}
}

// Kill ends the server by SIGKILL, and returns when it has ended.
func (s *Server) Kill() {
	s.tb.Helper()
	if err := s.runs.Kill(); err != nil {
		s.tb.Errorf("kill redis-server: %v", err)
	}
}

// Start starts the server again after Stop or Kill, with what it kept.
func (s *Server) Start() {
	s.tb.Helper()
	if err := s.runs.Restart(); err != nil {
		s.tb.Fatalf("start redis-server again: %v", err)
	}
}

// Cluster starts a Redis Cluster for this test alone: so many masters, each with so many replicas, with these arguments, in a
// folder of its own. It ends with the test. It reserves a unit for each node.
func Cluster(tb testing.TB, masters, replicas int, args ...string) *redisserver.Cluster {
	tb.Helper()
	requireServer(tb)
	Reserve(tb, masters*(1+replicas))
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	c, err := redisserver.StartCluster(ctx, tb.TempDir(), masters, replicas, args...)
	if err != nil {
		tb.Fatalf("start a Redis Cluster: %v", err)
	}
	tb.Cleanup(func() {
		if err := c.Stop(); err != nil {
			tb.Errorf("stop a Redis Cluster: %v", err)
		}
	})
	return c
}
