// Package redisserver runs redis-server processes on the loopback interface, for tests and for the chaos program.
package redisserver

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Server is a redis-server that this process started. It ends with this process, however that ends. Its methods must
// not be called concurrently.
type Server struct {
	// Addr is its host:port, the same after a restart.
	Addr string

	args []string
	cmd  *exec.Cmd      // nil: it is down
	life io.WriteCloser // while it is open, the server runs; see keeper
	sent *os.File       // has a byte for each signal that was sent
}

// Start starts a redis-server on a free port, with these arguments, and returns when it is ready. With --tls-cert-file
// among them, the port is one of TLS, and the server has no other.
func Start(args ...string) (*Server, error) {
	var err error
	for range 5 { // another process may take a port between its choice and its use
		s := &Server{args: args}
		if s.Addr, err = freeAddr(); err != nil {
			return nil, err
		}
		if err = s.Restart(); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// Program is what runs as the server: redis-server, or what REFQ_TEST_SERVER names, such as valkey-server.
func Program() string { return cmp.Or(os.Getenv("REFQ_TEST_SERVER"), "redis-server") }

// keeper runs the server and sends it each signal that it reads. The end of its input, which is also that of the
// process that started it, ends the server, also one that stands still. It closes its own output so that the server's
// death ends the log.
const keeper = `"$0" "$@" 3>&- & exec >&-; while read -r signal; do kill -"$signal" $!; echo >&3; done; kill $! 2>/dev/null; kill -CONT $! 2>/dev/null; wait`

// Restart starts the server again after Stop or Kill, with what it kept, and returns when it is ready.
func (s *Server) Restart() error {
	_, port, _ := net.SplitHostPort(s.Addr)
	args := append([]string{"-c", keeper, Program()}, s.args...)
	args = append(args, "--bind", "127.0.0.1")
	if slices.Contains(args, "--tls-cert-file") {
		args = append(args, "--port", "0", "--tls-port", port)
	} else {
		args = append(args, "--port", port)
	}
	cmd := exec.Command("sh", args...)
	life, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	log, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	defer log.Close() // redis-server does not mind
	sent, sends, err := os.Pipe()
	if err != nil {
		return err
	}
	defer sends.Close()
	cmd.ExtraFiles = []*os.File{sends} // file 3 there
	if err := cmd.Start(); err != nil {
		_ = sent.Close()
		return err
	}
	s.cmd, s.life, s.sent = cmd, life, sent
	if err := awaitReady(log); err != nil {
		return errors.Join(fmt.Errorf("%s on %s: %w", Program(), s.Addr, err), s.Stop())
	}
	return nil
}

// Stop ends the server as a service manager would, and returns when it has ended. It may be down already.
func (s *Server) Stop() error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	defer s.sent.Close()
	return errors.Join(s.life.Close(), cmd.Wait())
}

// Kill ends the server by SIGKILL, and returns when it has ended. It may be down already.
func (s *Server) Kill() error {
	if s.cmd == nil {
		return nil
	}
	return errors.Join(s.Signal("KILL"), s.Stop())
}

// Signal sends the server a signal by its name, such as STOP or CONT, and returns when it was sent.
func (s *Server) Signal(name string) error {
	if _, err := io.WriteString(s.life, name+"\n"); err != nil {
		return err
	}
	_, err := s.sent.Read(make([]byte, 1))
	return err
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// awaitReady reads the server's log up to where it says that it is ready, or that it watches a master: a Sentinel.
func awaitReady(log io.Reader) error {
	var last string
	for lines := bufio.NewScanner(log); lines.Scan(); last = lines.Text() {
		if strings.Contains(lines.Text(), "Ready to accept connections") || strings.Contains(lines.Text(), "+monitor master") {
			return nil
		}
	}
	return fmt.Errorf("it ended: %s", last)
}
