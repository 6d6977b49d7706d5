package worker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/store"
)

const (
	finishFirst = 50 * time.Millisecond
	finishMost  = 2 * time.Second
	// refusals is how often a finish that Redis itself refuses is tried: for half a minute, because a failover heals and
	// a broken key does not.
	refusals = 20
)

// finish writes the outcome, for as long as the process lives: while Redis is away the outcome waits here, in its slot.
// The zero Finished means that the outcome is void, or was given up.
func (w *Worker) finish(r *run, o store.Outcome) store.Finished {
	refused := 0
	for wait := finishFirst; ; wait = min(2*wait, finishMost) {
		f, err := w.store.Finish(w.live.base, r.ref, r.token, o)
		switch {
		case err == nil && f.Current:
			return f
		case err == nil:
			return store.Finished{}
		case errors.Is(err, store.ErrDamaged):
			w.log.Error("outcome given up", r.about("err", err)...)
			return store.Finished{}
		case isRefusal(err):
			refused++
		}
		if refused >= refusals {
			w.log.Error("outcome given up: Redis refuses it", r.about("err", err)...)
			return store.Finished{}
		}
		select {
		case <-time.After(wait):
		case <-w.live.base.Done():
			return store.Finished{}
		}
	}
}

// isRefusal reports whether Redis answered, and will answer the same again.
func isRefusal(err error) bool {
	var answered redis.Error
	return errors.As(err, &answered) && !errors.Is(err, context.Canceled) && !redis.IsMaxClientsError(err) &&
		(strings.HasPrefix(answered.Error(), "ERR ") || strings.HasPrefix(answered.Error(), "WRONGTYPE "))
}
