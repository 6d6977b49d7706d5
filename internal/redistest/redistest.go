// Package redistest gives tests a real Redis.
package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// Start returns the host:port of a redis-server on the loopback interface that all tests of the test binary share, so
// each uses keys of its own. The first test starts it; it ends with the binary, however that ends. Without a
// redis-server on PATH the test is skipped, or fails if REFQ_REQUIRE_REDIS is 1. It may be called concurrently.
func Start(tb testing.TB) (addr string) {
	tb.Helper()
	require(tb)
	p, err := shared()
	if err != nil {
		tb.Fatalf("start redis-server: %v", err)
	}
	return p.addr
}

func require(tb testing.TB) {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("REFQ_REQUIRE_REDIS") == "1" {
			tb.Fatalf("REFQ_REQUIRE_REDIS is 1, but there is no redis-server: %v", err)
		}
		tb.Skipf("skipped, it needs a real Redis: %v", err)
	}
}

var shared = sync.OnceValues(func() (*process, error) {
	return launchAnywhere("--save", "", "--appendonly", "no")
})

// process is a running redis-server.
type process struct {
	addr string
	cmd  *exec.Cmd
	life io.WriteCloser // while it is open, the server runs
}

// launchAnywhere tries a few ports: another process may take one between its choice and its use.
func launchAnywhere(args ...string) (p *process, err error) {
	for range 5 {
		var addr string
		if addr, err = freeAddr(); err != nil {
			return nil, err
		}
		if p, err = launch(addr, args...); err == nil {
			return p, nil
		}
	}
	return nil, err
}

// keeper runs redis-server until its own standard input ends; the death of the test binary ends that, too. A line that
// comes before is the signal that the server gets. It closes its output so that the server's death ends the log.
const keeper = `redis-server "$@" & exec >&-; read -r signal; kill $signal $!; wait`

func launch(addr string, args ...string) (*process, error) {
	_, port, _ := net.SplitHostPort(addr)
	args = append(args, "--bind", "127.0.0.1", "--port", port)
	cmd := exec.Command("sh", append([]string{"-c", keeper, "sh"}, args...)...)
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	log, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	defer log.Close() // redis-server does not mind
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{addr, cmd, life}
	if err := awaitReady(log); err != nil {
		return nil, errors.Join(fmt.Errorf("on %s: %w", addr, err), p.end())
	}
	return p, nil
}

// end ends the server as its service manager would, and returns when it has ended.
func (p *process) end() error {
	return errors.Join(p.life.Close(), p.cmd.Wait())
}

// kill ends the server without a warning, and returns when it has ended.
func (p *process) kill() error {
	_, err := io.WriteString(p.life, "-9\n")
	return errors.Join(err, p.end())
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
