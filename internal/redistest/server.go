package redistest

import "testing"

// Server is a redis-server for one test. Its methods must not be called concurrently.
type Server struct {
	// Addr is its host:port on the loopback interface, the same for as long as the test runs.
	Addr string

	tb   testing.TB
	args []string
	runs *process // nil: it is stopped
}

// New starts a redis-server for this test alone, with these arguments, in a folder of its own. It ends with the test.
// Without a redis-server on PATH it does what [Start] does.
func New(tb testing.TB, args ...string) *Server {
	tb.Helper()
	require(tb)
	s := &Server{tb: tb, args: append(args, "--dir", tb.TempDir())}
	var err error
	if s.runs, err = launchAnywhere(s.args...); err != nil {
		tb.Fatalf("start redis-server: %v", err)
	}
	s.Addr = s.runs.addr
	tb.Cleanup(s.Stop)
	return s
}

// Stop ends the server as a service manager would, and returns when it has ended. It may be stopped already.
func (s *Server) Stop() {
	s.tb.Helper()
	if s.runs == nil {
		return
	}
	if err := s.runs.end(); err != nil {
		s.tb.Errorf("stop redis-server: %v", err)
	}
	s.runs = nil
}

// Kill ends the server as a loss of power would, and returns when it has ended.
func (s *Server) Kill() {
	s.tb.Helper()
	if err := s.runs.kill(); err != nil {
		s.tb.Errorf("kill redis-server: %v", err)
	}
	s.runs = nil
}

// Start starts the server again after Stop or Kill, with what it kept.
func (s *Server) Start() {
	s.tb.Helper()
	var err error
	if s.runs, err = launch(s.Addr, s.args...); err != nil {
		s.tb.Fatalf("start redis-server again: %v", err)
	}
}
