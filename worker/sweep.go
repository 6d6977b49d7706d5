package worker

import (
	"context"
	"errors"
	"time"

	"github.com/refq/refq/refcache"
)

const (
	sweepEvery = time.Second
	sweepBatch = 100
)

// sweepQueue mends what was lost in a queue, until ctx ends: attempts of dead workers, doorbells that no longer ring.
func (w *Worker) sweepQueue(ctx context.Context, queue string) {
	each(ctx, sweepEvery, func() {
		if err := w.sweep(ctx, queue); err != nil && ctx.Err() == nil {
			w.log.Debug("sweep ended early", "queue", queue, "err", err) // the beat reports outages
		}
	})
}

func (w *Worker) sweep(ctx context.Context, queue string) error {
	found, err := w.store.Sweep(ctx, queue, sweepBatch)
	if err != nil || !found.Mine {
		return err
	}
	for _, orphan := range found.Orphans {
		if orphan.Worker != w.id { // its own attempts live, whatever has held up its beats
			w.redeliver(ctx, orphan)
		}
	}
	for _, idle := range found.Idle {
		if err := w.store.DropWorker(ctx, queue, idle, w.id); err != nil {
			return err
		}
	}
	if err := w.ringSilent(ctx, found.Silent); err != nil {
		return err
	}
	return w.store.AddQueue(ctx, queue) // again each time: a flush loses it
}

// ringSilent rings for those of the tasks that no doorbell is for.
func (w *Worker) ringSilent(ctx context.Context, refs []refcache.Ref) error {
	for _, ref := range refs {
		task, err := w.store.Read(ctx, ref)
		if errors.Is(err, refcache.ErrTaskNotFound) {
			continue
		}
		if errors.Is(err, refcache.ErrUnreadable) { // it must not hold up the others
			w.log.Warn("task cannot be looked after", "ref", ref, "err", err)
			continue
		}
		if err != nil {
			return err
		}
		rang, err := w.bell.RingIfSilent(ctx, task)
		if err != nil {
			return err
		}
		if rang {
			w.log.Warn("task had no doorbell, rang", "ref", ref, "func", task.Policy.Name, "status", task.Status)
		}
	}
	return nil
}
