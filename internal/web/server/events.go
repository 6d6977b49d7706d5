package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	// Heartbeat is how often a quiet stream of events shows that it lives, to proxies and clients.
	Heartbeat    = 15 * time.Second
	retryEvery   = 2000             // ms after which a client that lost its stream asks again
	eventTimeout = 30 * time.Second // to read a piece
)

// Events is a stream of server-sent events.
type Events struct {
	w http.ResponseWriter
	// Err is why nothing more can be sent: the reader has gone, or is too slow. Nil: all is well.
	Err error
}

// OpenEvents begins to answer with events. The request must linger ([Linger]).
func OpenEvents(w http.ResponseWriter) *Events {
	e := &Events{w: w}
	w.Header().Set("Content-Type", "text/event-stream")
	e.Send("retry: %d\n\n", retryEvery)
	return e
}

// Send writes a piece, and does not wait long for whoever does not read.
func (e *Events) Send(format string, args ...any) {
	Allow(e.w, eventTimeout)
	_, e.Err = fmt.Fprintf(e.w, format, args...)
	if e.Err == nil {
		e.Err = http.NewResponseController(e.w).Flush()
	}
}

// errQuiet ends a wait for an event.
var errQuiet = errors.New("nothing happens")

// Await returns what next returns, and shows meanwhile that the stream lives. False: ctx has ended, or nobody reads.
func Await[T any](ctx context.Context, e *Events, next func(context.Context) (T, error)) (T, bool) {
	for {
		quiet, cancel := context.WithTimeoutCause(ctx, Heartbeat, errQuiet)
		value, err := next(quiet)
		cancel()
		if err == nil && ctx.Err() == nil && e.Err == nil {
			return value, true
		}
		if ctx.Err() == nil && e.Err == nil {
			e.Send(": still here\n\n")
		}
		if ctx.Err() != nil || e.Err != nil {
			var none T
			return none, false
		}
	}
}
