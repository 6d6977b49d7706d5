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
	// Messages may get lost, so waiters also poll: first after firstPoll, then less and less often.
	firstPoll = 100 * time.Millisecond
	maxPoll   = 2 * time.Second
	// pollOfEach is the shortest pause between two polls for each waiter of a producer: together they poll at most a
	// thousand times a second.
	pollOfEach = time.Millisecond
	// pollTimeout limits one poll, so that a silent Redis does not make a caller wait much longer than it wants. A
	// Redis that refuses connections says so within it.
	pollTimeout = 3 * time.Second

	forEver = time.Duration(1<<63 - 1)
)

// read reads a call with its result. If the call is in flight, and inbox is not empty, its end is published there.
func (p *Producer) read(ctx context.Context, ref refcache.Ref, inbox string) (answer.Snapshot, error) {
	mark := p.local.beginRead(ctx, ref, nil)
	record, result, err := p.store.Result(ctx, ref, inbox)
	now := answer.Snapshot{Record: record, Result: result}
	if err == nil {
		if err = store.CheckNamespace(p.cfg.Namespace, ref, record.Namespace); err != nil {
			now = answer.Snapshot{}
		}
	}
	if err == nil || errors.Is(err, refcache.ErrTaskNotFound) {
		p.local.keep(mark, now)
	}
	return now, err
}

// poll is read for a waiter, within pollTimeout.
func (p *Producer) poll(ctx context.Context, ref refcache.Ref) (answer.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	return p.read(ctx, ref, store.Inbox(p.inbox.id))
}

// readNamed is read for a ref_id that came from outside, and may be none.
func (p *Producer) readNamed(ctx context.Context, ref refcache.Ref) (answer.Snapshot, error) {
	if _, err := refcache.ParseRef(string(ref)); err != nil {
		return answer.Snapshot{}, err
	}
	return p.read(ctx, ref, "")
}

// await waits until a call that now shows in flight has ended, or until waitLimit has passed. It returns the call as
// it was seen last, and an error when ctx has ended or Redis did not answer. What comes with the message of the end
// is the answer. If another cycle has begun meanwhile, await waits for the end of that one. It polls after firstPoll,
// and then less and less often.
func (p *Producer) await(ctx context.Context, w *waiter, now answer.Snapshot, waitLimit, firstPoll time.Duration) (answer.Snapshot, error) {
	var enough <-chan time.Time
	if waitLimit < forEver { // a timer takes room, and there may be thousands of waiters
		timer := time.NewTimer(waitLimit)
		defer timer.Stop()
		enough = timer.C
	}
	pause := time.NewTimer(w.box.inTurn(firstPoll))
	defer pause.Stop()
	last := false
	for wait := firstPoll; ; {
		select {
		case end := <-w.ends:
			if end.Whole && isEndOf(end.Record, now.Record) {
				return answer.Snapshot{Record: end.Record, Result: end.Result}, nil
			}
		case <-pause.C:
			wait = min(2*wait, maxPoll)
			pause.Reset(w.box.inTurn(wait))
		case <-enough:
			last = true
		case <-ctx.Done():
			return now, fmt.Errorf("wait for call %s: %w", now.Ref, context.Cause(ctx))
		}
		stored, err := p.poll(ctx, now.Ref)
		select {
		case <-enough: // while it was polled: a second look at a silent Redis would only double the wait
			last = true
		default:
		}
		switch {
		case errors.Is(err, refcache.ErrUnreadable):
			return now, err // and will be at every poll
		case errors.Is(err, refcache.ErrTaskNotFound):
			return now, fmt.Errorf("wait for call %s: it was deleted or lost meanwhile: %w", now.Ref, refcache.ErrTaskNotFound)
		case err == nil && isPast(stored.Record, now.Record):
			return now, fmt.Errorf("wait for call %s: Redis has lost its last writes, and what was waited for with them; call again", now.Ref)
		case err == nil:
			now = stored
		case last:
			return now, err
		}
		if last || now.Status.IsFinal() {
			return now, nil
		}
	}
}

// isEndOf reports whether a message tells the end of the call that a waiter has read, or a later end. A message may be
// late, and of an earlier life or attempt: each new one has a later delivery.
func isEndOf(ended, stored store.Record) bool {
	return ended.Status.IsFinal() && ended.CreatedAt.Equal(stored.CreatedAt) && ended.Delivery >= stored.Delivery
}

// isPast reports whether an end is older than what was read in flight: a replica without the last writes has taken
// over, and the end that it shows is not the one that is waited for. Deliveries never go back otherwise (R13).
func isPast(stored, before store.Record) bool {
	return stored.Status.IsFinal() && stored.CreatedAt.Equal(before.CreatedAt) && stored.Delivery < before.Delivery
}
