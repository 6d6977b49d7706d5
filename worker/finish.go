package worker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
)

const (
	firstFinishWait = 50 * time.Millisecond
	maxFinishWait   = 2 * time.Second
	// refusals is how often a finish that Redis itself refuses is tried: for half a minute, because a failover heals and
	// a broken key does not.
	refusals = 20
)

// finish sends the outcome of an attempt until Redis has answered, and tells what became of the call.
func (w *Worker) finish(a *attempt) store.Finished {
	refused := 0
	for wait := firstFinishWait; ; wait = min(2*wait, maxFinishWait) {
		f, err := w.store.Finish(w.running.base, a.ref, a.token, a.outcome)
		switch {
		case err == nil && f.Current:
			return f
		case err == nil:
			return store.Finished{}
		case errors.Is(err, store.ErrDamaged):
			w.log.Error("outcome given up", a.about("err", err)...)
			return store.Finished{}
		case isRefusal(err):
			refused++
		}
		if refused >= refusals {
			w.log.Error("outcome given up: Redis refuses it", a.about("err", err)...)
			return store.Finished{}
		}
		select {
		case <-time.After(wait):
		case <-w.running.base.Done():
			return store.Finished{}
		}
	}
}

// isRefusal reports whether Redis answered, and will answer the same again. One that is full will not for ever.
func isRefusal(err error) bool {
	var answered redis.Error
	return errors.As(err, &answered) && !errors.Is(err, context.Canceled) && !redis.IsMaxClientsError(err) && !script.Full(err) &&
		(strings.HasPrefix(answered.Error(), "ERR ") || strings.HasPrefix(answered.Error(), "WRONGTYPE "))
}
