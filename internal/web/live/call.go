package live

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

const (
	lookEvery   = 500 * time.Millisecond // while a call is in flight; its end is heard of at once
	lookIfEnded = 2 * time.Second        // somebody may run it again
)

// Call is how a call stands.
type Call struct {
	refcache.Response[json.RawMessage]
	// Err is why the Response could not be read: refcache.ErrTaskNotFound when there is no such call (any more),
	// refcache.ErrUnreadable. While Redis does not answer, calls stand as they were last seen.
	Err error
}

// Calls are calls that are followed.
type Calls = Shared[refcache.Ref, Call]

// NewCalls returns the calls that p knows. A call in flight is looked at twice a second, and its end is heard of at once,
// over the one subscription that p has for all that it waits for. One that has ended is looked at every 2 s.
func NewCalls(p *producer.Producer) *Calls {
	return NewShared(func(ctx context.Context, ref refcache.Ref, joined <-chan struct{}, tell func(Call)) {
		f := follower{p: p, ref: ref, joined: joined, tell: tell}
		for ctx.Err() == nil {
			f.inFlight(ctx)
			f.ended(ctx)
		}
	})
}

// follower follows one call.
type follower struct {
	p      *producer.Producer
	ref    refcache.Ref
	joined <-chan struct{}
	tell   func(Call)
	now    Call // as it was told last
	told   bool
}

// set tells how the call stands, if that is new.
func (f *follower) set(now Call) {
	if !f.told || !now.Same(f.now) {
		f.now, f.told = now, true
		f.tell(now)
	}
}

// settled reports whether nothing happens to the call but by hand.
func (f *follower) settled() bool { return f.told && (f.now.Err != nil || f.now.Status.IsFinal()) }

// look reads how the call stands, and reports whether that could be found out.
func (f *follower) look(ctx context.Context) bool {
	res, err := f.p.Get(ctx, f.ref)
	switch {
	case err == nil, final(err):
		f.set(Call{res, err})
		return true
	}
	return false
}

// final are errors that looking again does not end.
func final(err error) bool {
	return errors.Is(err, refcache.ErrTaskNotFound) || errors.Is(err, refcache.ErrUnreadable) || errors.Is(err, refcache.ErrInvalidRef)
}

// inFlight follows the call until it has settled.
func (f *follower) inFlight(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end := make(chan Call, 1)
	waiting := make(chan struct{})
	go func() { // before the first look, so that no end is missed
		defer close(waiting)
		if now, ok := waitThrough(ctx, f.p, f.ref); ok {
			end <- now
		}
	}()
	defer func() { cancel(); <-waiting }()
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	for f.look(ctx); !f.settled(); {
		select {
		case now := <-end:
			f.set(now)
			return
		case <-every.C:
			f.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// waitThrough waits for the end of a call, through outages of Redis. False: ctx ended before.
func waitThrough(ctx context.Context, p *producer.Producer, ref refcache.Ref) (Call, bool) {
	for {
		res, err := p.Wait(ctx, ref)
		_, ended := errors.AsType[*refcache.TaskError](err)
		switch {
		case err == nil, ended:
			return Call{Response: res}, true
		case ctx.Err() != nil:
			return Call{}, false
		case final(err):
			return Call{res, err}, true
		}
		if !sleep(ctx, lookEvery) {
			return Call{}, false
		}
	}
}

// ended looks at the call now and then until it has changed. It does not read the result again, which may be long.
func (f *follower) ended(ctx context.Context) {
	every := time.NewTicker(lookIfEnded)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-f.joined:
		case <-ctx.Done():
			return
		}
		info, err := f.p.Info(ctx, f.ref)
		switch {
		case err == nil && f.now.Err == nil && info.Status == f.now.Status && same(info.CompletedAt, f.now.CompletedAt):
		case err != nil && f.now.Err != nil && final(err):
		case err == nil, final(err):
			if f.look(ctx) && !f.settled() {
				return
			}
		}
	}
}

func same(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }

// sleep reports whether it was not cut short by the end of ctx.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Same reports whether nothing has changed between two looks at a call but the time that is left, which always does.
func (c Call) Same(other Call) bool { return fingerprint(c) == fingerprint(other) }

func fingerprint(c Call) string {
	if c.Err != nil {
		return "error: " + c.Err.Error()
	}
	c.ETA = nil
	text, err := c.JSON(refcache.Full)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
