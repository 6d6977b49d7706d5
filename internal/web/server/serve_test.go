package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/internal/web/server"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// pipes is a listener without a port, so that time is a bubble's.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "pipe"} }

func (p pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// serve runs a server until stop is called, which returns what Serve did.
func serve(h http.HandlerFunc) (p pipes, stop func() error) {
	p = pipes{make(chan net.Conn), make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, p, h, slog.New(slog.DiscardHandler)) }()
	return p, func() error { cancel(); return <-done }
}

func ask(t *testing.T, conn net.Conn, request string) *bufio.Reader {
	t.Helper()
	_, err := io.WriteString(conn, request)
	require.NoError(t, err)
	return bufio.NewReader(conn)
}

const get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

func status(t *testing.T, from *bufio.Reader) int {
	t.Helper()
	res, err := http.ReadResponse(from, nil)
	require.NoError(t, err)
	defer res.Body.Close()
	_, err = io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode
}

func TestWhoSendsSlowlyIsCutOff(t *testing.T) {
	t.Parallel()
	for begun, within := range map[string]time.Duration{"": 5 * time.Second, "GET / HTTP/1.1\r\nHo": 5 * time.Second,
		"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc": 31 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p, stop := serve(func(w http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
			conn := p.dial()
			defer conn.Close()
			start := time.Now()
			_, _ = io.WriteString(conn, begun)
			_, err := io.ReadAll(conn)
			require.NoError(t, err, "closed by the server")
			require.LessOrEqual(t, time.Since(start), within, begun)
			require.NoError(t, stop())
		})
	}
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, stop := serve(func(http.ResponseWriter, *http.Request) {})
		conn := p.dial()
		defer conn.Close()
		from := ask(t, conn, get)
		require.Equal(t, http.StatusOK, status(t, from))
		start := time.Now()
		_, err := from.ReadByte()
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, 2*time.Minute, time.Since(start))
		require.NoError(t, stop())
	})
}

func TestALingeringRequestOutlivesTheServersLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, stop := serve(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := server.Linger(w, r)
			defer cancel()
			select {
			case <-time.After(time.Hour):
				w.WriteHeader(http.StatusAccepted)
			case <-ctx.Done():
			}
		})
		conn := p.dial()
		defer conn.Close()
		require.Equal(t, http.StatusAccepted, status(t, ask(t, conn, get)))
		require.NoError(t, stop())
	})
}

func TestALingeringRequestThatIsNotReadIsCutOffWhenItHasToBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		p, stop := serve(func(w http.ResponseWriter, r *http.Request) {
			_, cancel := server.Linger(w, r)
			defer cancel()
			time.Sleep(time.Hour)
			server.Allow(w, 10*time.Second)
			_, err := w.Write(make([]byte, 1<<20))
			failed <- err
		})
		conn := p.dial()
		defer conn.Close()
		ask(t, conn, get)
		require.Error(t, <-failed)
		require.NoError(t, stop())
	})
}

func TestStoppingEndsWhatLingersAndLetsTheRestFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, stop := serve(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/work" {
				time.Sleep(5 * time.Second)
				require.NoError(t, r.Context().Err())
				return
			}
			ctx, cancel := server.Linger(w, r)
			defer cancel()
			<-ctx.Done()
			if errors.Is(context.Cause(ctx), server.ErrStopping) {
				w.WriteHeader(http.StatusAccepted)
			}
		})
		lingers, works := p.dial(), p.dial()
		defer lingers.Close()
		defer works.Close()
		waits := ask(t, lingers, get)
		worked := ask(t, works, "GET /work HTTP/1.1\r\nHost: localhost\r\n\r\n")
		synctest.Wait()
		stopped := make(chan error, 1)
		go func() { stopped <- stop() }()
		start := time.Now()
		require.Equal(t, http.StatusAccepted, status(t, waits))
		require.Zero(t, time.Since(start))
		require.Equal(t, http.StatusOK, status(t, worked))
		require.NoError(t, <-stopped)
	})
}

func TestWhatDoesNotEndIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, stop := serve(func(_ http.ResponseWriter, r *http.Request) { time.Sleep(time.Minute) })
		conn := p.dial()
		defer conn.Close()
		ask(t, conn, get)
		synctest.Wait()
		start := time.Now()
		require.ErrorContains(t, stop(), "requests were cut off")
		require.Equal(t, 8*time.Second, time.Since(start).Truncate(time.Second))
		time.Sleep(time.Minute)
	})
}

func TestAListenerThatFailsIsTold(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	err = server.Serve(t.Context(), l, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "serve HTTP on 127.0.0.1:")
}
