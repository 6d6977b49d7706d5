package worker

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// onTheWayMost is how long an attempt waits for its doorbell to come through asynq.
const onTheWayMost = 2 * time.Second

// onTheWay are the attempts that were claimed with their doorbells, while these are on their way through asynq.
type onTheWay struct {
	mu       sync.Mutex
	attempts map[refcache.Ref]*attempt
}

// attempt is a run that was claimed.
type attempt struct {
	*run
	claim store.ClaimAnswer
	late  *time.Timer
}

// put keeps an attempt until its doorbell rings. If that takes too long, late is called with it.
func (o *onTheWay) put(a *attempt, late func(*attempt)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.attempts == nil {
		o.attempts = map[refcache.Ref]*attempt{}
	}
	o.attempts[a.ref] = a
	a.late = time.AfterFunc(onTheWayMost, func() {
		if o.remove(a) {
			late(a)
		}
	})
}

// pick returns the attempt that was claimed with a doorbell, nil if there is none.
func (o *onTheWay) pick(ref refcache.Ref) *attempt {
	o.mu.Lock()
	a := o.attempts[ref]
	o.mu.Unlock()
	if a == nil || !o.remove(a) {
		return nil
	}
	a.late.Stop()
	return a
}

// remove reports whether an attempt was still there.
func (o *onTheWay) remove(a *attempt) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.attempts[a.ref] != a {
		return false
	}
	delete(o.attempts, a.ref)
	return true
}

// take takes a doorbell out of asynq's list and claims its task in the same step. The attempt starts when asynq hands the
// doorbell over.
func (w *Worker) take(ctx context.Context, queue string, by script.Piggyback) *redis.Cmd {
	r := w.live.add("", rand.Text()) // R2
	taken, err := w.store.Take(ctx, queue, r.token, w.id, by)
	if taken.Ref == "" {
		w.live.remove(r)
	} else {
		w.live.claimed(r, taken.Ref)
		w.onTheWay.put(&attempt{run: r, claim: taken.Claim}, w.giveBackAndRing)
	}
	if err == nil && taken.Message == nil {
		err = redis.Nil
	}
	return redis.NewCmdResult(taken.Message, err)
}

// giveBack hands back an attempt that did not start.
func (w *Worker) giveBack(a *attempt, why string) store.Finished {
	defer w.live.remove(a.run)
	return w.finish(a.run, store.Released(why, w.id))
}

// giveBackAndRing hands back an attempt whose doorbell has not come through. It may still come; then there is nothing to do.
func (w *Worker) giveBackAndRing(a *attempt) {
	finished := w.giveBack(a, "its doorbell did not come through asynq")
	w.ringAnew(a.run, a.claim.Record, finished)
}
