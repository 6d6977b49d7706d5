package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

const (
	sweepEvery = time.Second
	// sweepBatch tasks that wait are looked at in each sweep, whether there is anything to mend or not. Both looks, at
	// the records and at the doorbells, are scripts and hold up Redis, for some ms each.
	sweepBatch = 1000
	// noteEvery is how often a sweeping worker says again that the queue is used, besides whenever a flush has been: somebody
	// may have deleted the queue in asynq.
	noteEvery = 10 * time.Second
)

// sweepQueue mends what was lost in a queue, until ctx ends: attempts of dead workers, doorbells that no longer ring.
func (w *Worker) sweepQueue(ctx context.Context, queue string) {
	var noted time.Time
	quiet := false
	gates := w.gates[queue]
	look := func() {
		if quiet { // every other sweep will do
			quiet = false
			return
		}
		found, err := w.sweep(ctx, queue)
		quiet = found.Quiet && !found.First
		if err == nil && found.Mine && found.Gates {
			err = gates.sweep(ctx)
		}
		if err == nil && found.Mine && (found.First || time.Since(noted) >= noteEvery) {
			if err = w.noteQueue(ctx, queue); err == nil {
				noted = time.Now()
			}
		}
		switch {
		case err == nil || ctx.Err() != nil:
		case isRefusal(err) && w.logLimiter.due():
			w.log.Warn("Redis refuses what looks after tasks that were lost", "queue", queue, "err", err)
		default:
			w.log.Debug("sweep ended early", "queue", queue, "err", err) // the beat reports outages
		}
	}
	look()
	each(ctx, sweepEvery, look)
}

// sweep looks at a part of the queue, and goes on for as long as it finds doorbells missing: where one got lost, many may
// have been. It answers what it found first.
func (w *Worker) sweep(ctx context.Context, name string) (first store.Swept, err error) {
	for goOn := false; ; goOn = true {
		found, err := w.store.Sweep(ctx, name, sweepBatch, goOn, queue.HashPrefix(name), w.id)
		if !goOn {
			first = found
		}
		if err != nil || !found.Mine {
			return first, err
		}
		if err := w.takeOver(ctx, name, found); err != nil {
			return first, err
		}
		requeued, err := w.requeueLost(ctx, name, found.Silent)
		if err != nil || requeued == 0 || !found.More {
			return first, err
		}
	}
}

// noteQueue says that the queue is used, again each time: a flush loses it.
func (w *Worker) noteQueue(ctx context.Context, queue string) error {
	if err := w.store.AddQueue(ctx, queue); err != nil {
		return err
	}
	return w.queue.NoteQueue(ctx, queue)
}

// takeOver redelivers what dead workers ran, and forgets those that run nothing.
func (w *Worker) takeOver(ctx context.Context, queue string, found store.Swept) error {
	for _, orphan := range found.Orphans {
		if orphan.Worker != w.id { // its own attempts live, whatever has held up its beats
			w.redeliver(ctx, orphan)
		}
	}
	for _, idle := range found.Idle {
		if err := w.store.RemoveWorker(ctx, queue, idle, w.id); err != nil {
			return err
		}
		w.counters.Repaired(queue, 0, 1)
	}
	return nil
}

// logLimiter lets something be said at most once a minute: what only a person can mend would fill the log.
type logLimiter struct {
	mu   sync.Mutex
	said time.Time
}

func (r *logLimiter) due() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.said) < time.Minute {
		return false
	}
	r.said = now
	return true
}

// requeueLost rings for those of the tasks that no doorbell is for. A task that cannot be read must not hold up the
// others.
func (w *Worker) requeueLost(ctx context.Context, queue string, tasks []store.Waiting) (requeued int, err error) {
	requeued, err = w.queue.RequeueLost(ctx, queue, tasks)
	if requeued > 0 {
		w.counters.Repaired(queue, requeued, 0)
		w.log.Warn("tasks had no doorbell, rang", "queue", queue, "tasks", requeued)
	}
	if errors.Is(err, refcache.ErrUnreadable) {
		if w.logLimiter.due() {
			w.log.Warn("there are tasks that cannot be looked after, such as this one", "err", err)
		}
		return requeued, nil
	}
	return requeued, err
}
