package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

const (
	// Messages may get lost, so waiters also look, less and less often.
	soonLook = 100 * time.Millisecond
	maxLook  = 2 * time.Second
	// lookOfEach is how much later for each waiter a producer's waiters look, once there are so many that it is longer: together
	// they look a thousand times a second at most.
	lookOfEach = time.Millisecond
	// lookTimeout bounds one look: a silent Redis must not make a caller wait much longer than
	// it wants. One that refuses connections says so within it.
	lookTimeout = 3 * time.Second

	forEver = time.Duration(1<<63 - 1)
)

// look reads a task with its result; inbox, if not empty, is told of the end of a task in flight.
func (p *Producer) look(ctx context.Context, ref refcache.Ref, inbox string) (answer.Snapshot, error) {
	asked := p.local.ask(ctx, ref)
	record, result, err := p.store.Result(ctx, ref, inbox)
	now := answer.Snapshot{Record: record, Result: result}
	if err == nil || errors.Is(err, refcache.ErrTaskNotFound) {
		p.local.keep(asked, now)
	}
	return now, err
}

// lookSoon is look for a waiter, within lookTimeout.
func (p *Producer) lookSoon(ctx context.Context, ref refcache.Ref) (answer.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return p.look(ctx, ref, p.inbox.channel)
}

// lookAt reads a task that somebody outside named.
func (p *Producer) lookAt(ctx context.Context, ref refcache.Ref) (answer.Snapshot, error) {
	if _, err := refcache.ParseRef(string(ref)); err != nil {
		return answer.Snapshot{}, err
	}
	return p.look(ctx, ref, "")
}

// await waits until the task in flight that now shows has ended, or waitLimit has: it returns the task as it last was,
// and an error when ctx ended or Redis did not tell. What came with the message of the end is the answer. It waits for the end of now's cycle; if another has begun
// meanwhile, for the end of that one. It looks for itself after firstLook, and then less and less often.
func (p *Producer) await(ctx context.Context, w *waiter, now answer.Snapshot, waitLimit, firstLook time.Duration) (answer.Snapshot, error) {
	var enough <-chan time.Time
	if waitLimit < forEver { // a timer takes room, and there may be thousands of waiters
		timer := time.NewTimer(waitLimit)
		defer timer.Stop()
		enough = timer.C
	}
	pause := time.NewTimer(w.box.inTurn(firstLook))
	defer pause.Stop()
	last := false
	for wait := firstLook; ; {
		select {
		case end := <-w.ends:
			if end.Whole && isEndOf(end.Record, now.Record) {
				return answer.Snapshot{Record: end.Record, Result: end.Result}, nil
			}
		case <-pause.C:
			wait = min(2*wait, maxLook)
			pause.Reset(w.box.inTurn(wait))
		case <-enough:
			last = true
		case <-ctx.Done():
			return now, fmt.Errorf("wait for call %s: %w", now.Ref, context.Cause(ctx))
		}
		seen, err := p.lookSoon(ctx, now.Ref)
		switch {
		case errors.Is(err, refcache.ErrUnreadable):
			return now, err // and will be at every look
		case errors.Is(err, refcache.ErrTaskNotFound):
			return now, fmt.Errorf("wait for call %s: it was deleted or lost meanwhile: %w", now.Ref, refcache.ErrTaskNotFound)
		case err == nil && isPast(seen.Record, now.Record):
			return now, fmt.Errorf("wait for call %s: Redis has lost its last writes, and what was waited for with them; call again", now.Ref)
		case err == nil:
			now = seen
		case last:
			return now, err
		}
		if last || now.Status.IsFinal() {
			return now, nil
		}
	}
}

// isEndOf reports whether a message is of the end that a waiter who has seen a task waits for, or of a later one. It may
// be late, and of an earlier life or try: each new one has a later delivery.
func isEndOf(told, seen store.Record) bool {
	return told.Status.IsFinal() && told.CreatedAt.Equal(seen.CreatedAt) && told.Delivery >= seen.Delivery
}

// isPast reports whether an end is older than what was seen in flight: a replica without the last writes has taken over,
// and the end that it shows is not the one that is waited for. Deliveries never go back otherwise (R13).
func isPast(seen, before store.Record) bool {
	return seen.Status.IsFinal() && seen.CreatedAt.Equal(before.CreatedAt) && seen.Delivery < before.Delivery
}
