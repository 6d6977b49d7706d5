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
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("REFQ_REQUIRE_REDIS") == "1" {
			tb.Fatalf("REFQ_REQUIRE_REDIS is 1, but there is no redis-server: %v", err)
		}
		tb.Skipf("skipped, it needs a real Redis: %v", err)
	}
	s, err := shared()
	if err != nil {
		tb.Fatalf("start redis-server: %v", err)
	}
	return s.addr
}

var shared = sync.OnceValues(start)

type server struct {
	addr string
	life io.Closer // while it is open, the server runs
}

// start tries a few times: another process may take the port between its choice and its use.
func start() (s server, err error) {
	for range 5 {
		if s, err = try(); err == nil {
			return s, nil
		}
	}
	return server{}, err
}

// keeper runs redis-server until its own standard input ends; the death of the test binary ends that, too. It closes
// its output so that the server's death ends the log.
const keeper = `redis-server "$@" & exec >&-; read -r _; kill $!; wait`

func try() (server, error) {
	addr, err := freeAddr()
	if err != nil {
		return server{}, err
	}
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command("sh", "-c", keeper, "sh", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no")
	life, err := cmd.StdinPipe()
	if err != nil {
		return server{}, err
	}
	log, err := cmd.StdoutPipe()
	if err != nil {
		return server{}, err
	}
	defer log.Close() // redis-server does not mind
	if err := cmd.Start(); err != nil {
		return server{}, err
	}
	if err := awaitReady(log); err != nil {
		return server{}, errors.Join(fmt.Errorf("on %s: %w", addr, err), life.Close(), cmd.Wait())
	}
	return server{addr, life}, nil
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// awaitReady reads the server's log up to where it says that it is ready.
func awaitReady(log io.Reader) error {
	var last string
	for lines := bufio.NewScanner(log); lines.Scan(); last = lines.Text() {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			return nil
		}
	}
	return fmt.Errorf("it ended: %s", last)
}
