package queue

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

//go:embed enqueue.lua
var enqueueText string

// Submit makes a call, or finds the one that was made before, and enqueues a doorbell if the call waits for a worker. For a call
// that nobody has made yet it does so in the same step, unless a hit is more likely, so that nothing can come between. Whoever
// finds a task pending enqueues: who should have may have died (R14). After refcache.ErrNotQueued the task is on record, without
// a doorbell.
func (c *Client) Submit(ctx context.Context, ref refcache.Ref, s store.Submission) (store.Submitted, error) {
	name, queue := s.Policy.Name, ref.Queue()
	calls, wakes := []store.Call{{Ref: ref, Submission: s}}, false
	if !c.hits.likely(name) {
		wakes = c.wakeups.begin(queue)
		if err := c.withEnqueue(ctx, calls, wakes); err != nil {
			c.wakeups.end(ctx, queue, false)
			return store.Submitted{}, err
		}
	}
	made, err := c.store.Submit(ctx, ref, calls[0].Submission)
	c.hits.note(name, made)
	switch {
	case wakes:
		c.wakeups.end(ctx, queue, made.Enqueued)
	case made.Enqueued:
		c.wakeups.add(ctx, queue, 1)
	}
	if err != nil || made.Enqueued || made.Status != refcache.Pending {
		return made, err
	}
	if err := c.Enqueue(ctx, made.Record, AtOnce); err != nil {
		return made, fmt.Errorf("%w: %w", refcache.ErrNotQueued, err)
	}
	return made, nil
}

// SubmitMany is Submit for many calls of a function, in one round trip, for those that nobody has made yet. Others that wait for
// a worker are not enqueued, and EnqueueMany is to follow for them. The answers are in the order of the calls.
func (c *Client) SubmitMany(ctx context.Context, calls []store.Call) []store.Submitted {
	name := calls[0].Policy.Name
	if !c.hits.likely(name) {
		if err := c.withEnqueue(ctx, calls, false); err != nil {
			all := make([]store.Submitted, len(calls))
			for i := range all {
				all[i].Err = err
			}
			return all
		}
	}
	all := c.store.SubmitMany(ctx, calls)
	enqueued := 0
	for _, made := range all {
		if made.Enqueued {
			enqueued++
		}
	}
	c.hits.note(name, all[len(all)-1])
	if enqueued > 0 {
		c.wakeups.add(context.WithoutCancel(ctx), calls[0].Ref.Queue(), enqueued)
	}
	return all
}

// withEnqueue has the submissions enqueue doorbells for the tasks that they create. An idle worker is woken if wakes is true. If
// asynq's script is not known, the doorbells are enqueued apart.
func (c *Client) withEnqueue(ctx context.Context, calls []store.Call, wakes bool) error {
	tasks, positions := make([]store.Record, len(calls)), make([]int, len(calls))
	for i, call := range calls {
		tasks[i], positions[i] = store.Record{Ref: call.Ref, Policy: call.Policy, Delivery: 1}, i
	}
	by, uses, err := c.recorder.record(ctx, tasks, positions)
	if errors.Is(err, errUnrecognised) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("submit %s: %w", calls[0].Ref, err)
	}
	for i, call := range calls {
		woken := ""
		if wakes {
			woken = call.Ref.Queue()
		}
		calls[i].Enqueue = &script.Piggyback{Text: by.withAWake, Use: script.Use{
			Keys: append(uses[i].Keys, store.IdleKey(call.Ref.Queue())), Args: append(uses[i].Args, woken)}}
	}
	return nil
}

// hits tells whether the next call of a function is likely to be answered from what is stored: the last was. Such a call is
// submitted without a doorbell, which is most of what its submission takes, and gets one apart if it was no hit.
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
