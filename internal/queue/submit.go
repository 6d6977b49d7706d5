package queue

import (
	"context"
	_ "embed"
	"fmt"
	"sync"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

//go:embed enqueue.lua
var ringText string

// Submit makes a call, or finds the one that was made before, and rings for it if it waits for a worker: for a call that
// nobody has made yet in the same step, so that nothing can come between. Whoever finds a task pending rings: who should
// have may have died (R14). After refcache.ErrNotQueued the task is on record, without a doorbell.
func (b *Bell) Submit(ctx context.Context, ref refcache.Ref, c store.Submission) (store.Submitted, error) {
	made, err := b.submit(ctx, ref, c)
	if err != nil || made.Rang || made.Status != refcache.Pending {
		return made, err
	}
	if err := b.Ring(ctx, made.Record, AtOnce); err != nil {
		return made, fmt.Errorf("%w: %w", refcache.ErrNotQueued, err)
	}
	return made, nil
}

// submit makes a call with a doorbell, unless a hit is more likely.
func (b *Bell) submit(ctx context.Context, ref refcache.Ref, c store.Submission) (store.Submitted, error) {
	name, queue := c.Policy.Name, ref.Queue()
	if b.hits.likely(name) {
		made, err := b.store.Submit(ctx, ref, c)
		b.hits.note(name, made)
		return made, err
	}
	calls, chimes := []store.Call{{Ref: ref, Submission: c}}, b.chimes.begin(queue)
	if err := b.addRings(ctx, calls, chimes); err != nil {
		b.chimes.end(ctx, queue, false)
		return store.Submitted{}, err
	}
	made, err := b.store.Submit(ctx, ref, calls[0].Submission)
	b.hits.note(name, made)
	switch {
	case chimes:
		b.chimes.end(ctx, queue, made.Rang)
	case made.Rang:
		b.chimes.add(ctx, queue, 1)
	}
	return made, err
}

// SubmitMany is Submit for many calls of a function, in one round trip, for those that nobody has made yet: others that wait for
// a worker have not Rang, and RingMany is to follow for them. The answers are in the order of the calls.
func (b *Bell) SubmitMany(ctx context.Context, calls []store.Call) []store.Answered {
	name := calls[0].Policy.Name
	if !b.hits.likely(name) {
		if err := b.addRings(ctx, calls, false); err != nil {
			all := make([]store.Answered, len(calls))
			for i := range all {
				all[i].Err = err
			}
			return all
		}
	}
	all := b.store.SubmitMany(ctx, calls)
	rang := 0
	for _, made := range all {
		if made.Rang {
			rang++
		}
	}
	b.hits.note(name, all[len(all)-1].Submitted)
	if rang > 0 {
		b.chimes.add(context.WithoutCancel(ctx), calls[0].Ref.Queue(), rang)
	}
	return all
}

// hits tells whether the next call of a function is likely to be one: the last was. Such a call is submitted without a doorbell,
// which is most of what its submission takes, and rung for apart if it was none.
type hits struct {
	mu   sync.Mutex
	last map[string]bool // by function
}

func (h *hits) likely(function string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last[function]
}

func (h *hits) note(function string, made store.Submitted) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last[function] = made.Result != nil
}

// addRings has the submissions ring for the tasks that they create. An idle worker is woken if chimes is true.
func (b *Bell) addRings(ctx context.Context, calls []store.Call, chimes bool) error {
	tasks, places := make([]store.Record, len(calls)), make([]int, len(calls))
	for i, c := range calls {
		tasks[i], places[i] = store.Record{Ref: c.Ref, Policy: c.Policy, Delivery: 1}, i
	}
	enqueuing, uses, err := b.pad.write(ctx, tasks, places)
	if err != nil {
		return fmt.Errorf("submit %s: %w", calls[0].Ref, err)
	}
	for i, c := range calls {
		woken := ""
		if chimes {
			woken = c.Ref.Queue()
		}
		calls[i].Ring = &script.Piggyback{Text: enqueuing.ringing, Use: script.Use{
			Keys: append(uses[i].Keys, store.IdleKey(c.Ref.Queue())), Args: append(uses[i].Args, woken)}}
	}
	return nil
}
