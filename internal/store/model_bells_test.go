package store_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// modelBell is a doorbell as asynq may hold it: one for each number of delivery, in one state, rung at least once.
type modelBell struct {
	ref      refcache.Ref
	delivery int
	state    string // waiting, scheduled, active or archived
	due      time.Time
	by       *modelRun // that looks at the task because of it
	since    time.Time // when it became active
	stuck    bool      // asynq will never find out that nobody answers
}

const (
	modelAtOnce  = time.Duration(0)
	modelPatient = 2 * time.Minute
)

func (b *modelBell) String() string {
	return fmt.Sprintf("the %s doorbell %d of %s", b.state, b.delivery, modelName(b.ref))
}

func (w *modelWorld) bell(ref refcache.Ref, delivery int) *modelBell {
	i := slices.IndexFunc(w.bells, func(b *modelBell) bool { return b.ref == ref && b.delivery == delivery })
	if i < 0 {
		return nil
	}
	return w.bells[i]
}

// owesRing is for whoever must ring and may be slow, or dead before that.
func (w *modelWorld) owesRing(who string, task store.Record, patience time.Duration) {
	if !task.Status.InFlight() || task.Status == refcache.Processing {
		return
	}
	rings := fmt.Sprintf("%s rings for %s with delivery %d", who, modelName(task.Ref), task.Delivery)
	switch w.draw("ring", "rings", "rings", "rings later", "never rings") {
	case "rings":
		w.ring(who, task, patience)
	case "rings later":
		w.later(rings, func() { w.ring(who, task, patience) })
	case "never rings":
		w.say("%s: never", rings)
	}
}

// ring is the routine of docs/protocol.md.
func (w *modelWorld) ring(who string, task store.Record, patience time.Duration) {
	for range 20 {
		if task.Status != refcache.Pending && task.Status != refcache.Retrying {
			return
		}
		b := w.bell(task.Ref, task.Delivery)
		if b == nil {
			w.bells = append(w.bells, &modelBell{ref: task.Ref, delivery: task.Delivery, state: "waiting"})
			w.say("%s rings for %s with delivery %d", who, modelName(task.Ref), task.Delivery)
			return
		}
		if b.state == "waiting" || b.state == "scheduled" || b.state == "active" && modelReadyFor(task) < patience {
			return
		}
		reply := w.execute(w.newDelivery(who, task.Ref, task.Delivery), "")
		if reply.says == modelNoRecord {
			return
		}
		task = reply.task
	}
	w.fail("%s rings for %s without end", who, modelName(task.Ref))
}

// modelReadyFor is how long a task has been waiting for a worker.
func modelReadyFor(task store.Record) time.Duration {
	since := task.CreatedAt
	if task.Status == refcache.Retrying {
		since = task.NextRetryAt
	} else if task.UpdatedAt.After(since) {
		since = task.UpdatedAt
	}
	return task.ReadAt.Sub(since)
}

// silent reports whether no doorbell will ring for the task: whoever comes by looks first.
func (w *modelWorld) silent(task store.Record) bool {
	b := w.bell(task.Ref, task.Delivery)
	return b == nil || b.state == "archived" || b.state == "active" && modelReadyFor(task) >= modelPatient
}

// ringing returns the doorbells that a worker may hear now.
func (w *modelWorld) ringing() []*modelBell {
	var ringing []*modelBell
	for _, b := range w.bells {
		if b.state == "waiting" || b.state == "scheduled" && !time.Now().Before(b.due) {
			ringing = append(ringing, b)
		}
	}
	return ringing
}

// answered tells asynq what came of a doorbell, if it still waits for that: it is over, archived, or to ring again.
func (w *modelWorld) answered(r *modelRun, state string, again time.Duration) {
	b := r.bell
	if b == nil || b.by != r {
		return
	}
	b.by = nil
	if state == "" {
		w.bells = slices.DeleteFunc(w.bells, func(other *modelBell) bool { return other == b })
		return
	}
	b.state, b.due = state, time.Now().Add(again+time.Second-1).Truncate(time.Second)
}

// asynqAction lets asynq do what it is free to do: ring again, archive, lose.
func (w *modelWorld) asynqAction() {
	if len(w.bells) == 0 {
		w.t.Skip("no doorbells")
	}
	b := modelPick(w, "doorbell", w.bells)
	switch what := w.draw("asynq", "rings again with", "archives", "loses", "forgets who answers"); {
	case what == "loses":
		w.say("asynq loses %s", b)
		w.bells = slices.DeleteFunc(w.bells, func(other *modelBell) bool { return other == b })
	case what == "archives":
		w.say("asynq archives %s", b)
		b.state, b.by = "archived", nil
	case what == "forgets who answers" && b.state == "active":
		w.say("asynq forgets who answers %s", b)
		b.stuck, b.by = true, nil
	default:
		w.say("asynq rings again with %s", b)
		b.state, b.by = "waiting", nil
	}
}

// recoverBells is asynq's own recovery: a minute after a worker has gone its doorbells ring again.
func (w *modelWorld) recoverBells() {
	for _, b := range w.bells {
		if b.state == "active" && !b.stuck && (b.by == nil || !b.by.lives()) && time.Since(b.since) > time.Minute {
			w.say("asynq finds that nobody answers %s", b)
			b.state, b.by = "waiting", nil
		}
	}
}
