// Package server runs an HTTP server for strangers: everything it does has a limit of time, but for what says that it takes
// longer.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	headerTimeout  = 5 * time.Second  // to send the headers of a request
	requestTimeout = 30 * time.Second // to send a request, and as long again to read the answer
	idleTimeout    = 2 * time.Minute  // between two requests of a connection
	stopTimeout    = 8 * time.Second  // for requests under way when the server stops
	maxHeaders     = 32 << 10
)

// ErrStopping is why the context of [Linger] ends when the server stops.
var ErrStopping = errors.New("the server is stopping")

// Serve answers requests on l, which it closes, until ctx ends. Then requests that linger are told to end, others may end
// within 8 s; what has not is cut off. It returns when no request is under way any more; the error is nil but when
// requests had to be cut off, or l failed.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	stopping, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.WithoutCancel(ctx), stoppingKey{}, stopping)
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stop(ErrStopping)
	enough, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := s.Shutdown(enough); err != nil {
		return fmt.Errorf("stop serving HTTP on %s: requests were cut off: %w", l.Addr(), errors.Join(err, s.Close()))
	}
	return nil
}

type stoppingKey struct{}

// Linger lifts the server's limits of time for a request that takes longer than others may. If its body is not read yet,
// that is still to be done within the limit, or one that the caller sets by http.ResponseController. The context that it returns also ends when the server stops, with the cause ErrStopping. Before the answer is written, say
// for how long: [Allow].
func Linger(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc) {
	// The limit to read went with the end of the body. A writer that knows no deadlines, as in tests, has none to lift.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	ctx, cancel := context.WithCancelCause(r.Context())
	stopping, ok := r.Context().Value(stoppingKey{}).(context.Context)
	if !ok {
		return ctx, func() { cancel(nil) }
	}
	forget := context.AfterFunc(stopping, func() { cancel(ErrStopping) })
	return ctx, func() { forget(); cancel(nil) }
}

// Allow gives a lingering request so long, from now on, to write: who reads more slowly is cut off.
func Allow(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d)) // see Linger
}
