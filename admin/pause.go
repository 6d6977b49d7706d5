package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Target is what Pause pauses and Resume resumes: a queue, a function or a gate.
type Target struct {
	Queue string  // a queue that Redis knows of; beside a Gate: where that is
	Func  string  // a function in all queues: by its name in all versions, or as name@version
	Gate  string  // a gate, in all queues that have one of that name unless Queue is set
	Key   *string // one key of the Gate, as its function tells it; nil: all of them
}

func (t Target) String() string { return t.pause().Target() }

func (t Target) pause() refcache.Pause {
	return refcache.Pause{Queue: t.Queue, Func: t.Func, Gate: t.Gate, Key: t.Key}
}

// Check returns why the Target cannot be one; nil if it can.
func (t Target) Check() error {
	switch {
	case t.Queue == "" && t.Func == "" && t.Gate == "":
		return errors.New("no queue, function or gate is named")
	case t.Key != nil && t.Gate == "":
		return errors.New("a key is named without its gate")
	case t.Gate != "" && t.Func != "":
		return fmt.Errorf("function %s and gate %s are named: name one of them", t.Func, t.Gate)
	case t.Gate != "":
		if err := refcache.CheckQueue(t.Gate); err != nil {
			return fmt.Errorf("gate: %w", err)
		}
		if t.Queue == "" {
			return nil
		}
		return refcache.CheckQueue(t.Queue)
	case t.Queue != "" && t.Func != "":
		return fmt.Errorf("queue %s and function %s are named: name one of them", t.Queue, t.Func)
	case t.Queue != "":
		return refcache.CheckQueue(t.Queue)
	}
	name, version, versioned := strings.Cut(t.Func, "@")
	if n, err := strconv.Atoi(version); versioned && (err != nil || n < 1 || strconv.Itoa(n) != version) {
		return fmt.Errorf("function %q: a version is a whole number of at least 1, as in %s@2", t.Func, name)
	}
	return refcache.CheckName(name)
}

// PauseTerms are for how long and why something is paused. The zero value: until it is resumed, for no reason given.
type PauseTerms struct {
	For    time.Duration // 0: until it is resumed
	Reason string        // at most MaxReason bytes; who waits for a call reads it
}

// ErrUnknownQueue tells that Redis knows of no such queue, or of none at all.
var ErrUnknownQueue = errors.New("there is no such queue")

// MaxReason is how many bytes of reason a pause takes.
const MaxReason = 500

// Check returns why the PauseTerms cannot be; nil if they can.
func (p PauseTerms) Check() error {
	switch {
	case p.For < 0 || p.For > refcache.MaxDelay:
		return fmt.Errorf("for is %v, must be at least 0 and at most a century", p.For)
	case len(p.Reason) > MaxReason:
		return fmt.Errorf("the reason has %d bytes, more than %d", len(p.Reason), MaxReason)
	case !utf8.ValidString(p.Reason):
		return errors.New("the reason is not UTF-8")
	}
	return nil
}

// Pause has workers start no calls of a queue, or of a function in any queue. What runs goes on. Calls are accepted and stay
// pending, and who looks at one reads who has paused it and why. The queue's pause is asynq's own, so that it holds for workers
// of any version, from the moment of the return. Workers hear of a function's within milliseconds, by a message, and within 2 s if
// that is lost; such as are older than this feature never do. It returns the pause as it is noted, without the queue if gates of several
// queues were paused. What is paused already is paused anew, on the new terms.
//
// An error names the queues of which it is not known whether it was done, if it got so far; in all others it is done. To repeat
// it is safe. A function is paused in the queues that Redis knows of by then.
func (a *Admin) Pause(ctx context.Context, t Target, terms PauseTerms) (refcache.Pause, error) {
	if err := a.checkMade(); err != nil {
		return refcache.Pause{}, err
	}
	if err := terms.Check(); err != nil {
		return refcache.Pause{}, fmt.Errorf("pause %s: %w", t, err)
	}
	p := t.pause()
	p.By, p.Reason = a.change.By, terms.Reason
	type pause struct {
		refcache.Pause
		found bool
	}
	all, err := inQueuesOf(ctx, a, t, func(ctx context.Context, queue string) (here pause, err error) {
		here.found = true
		if t.Gate == "" {
			here.Pause, err = a.store.Pause(ctx, queue, p, terms.For)
		} else {
			here.Pause, here.found, err = a.store.PauseGate(ctx, queue, p, terms.For)
		}
		return here, err
	})
	var noted []refcache.Pause
	for _, queue := range slices.Sorted(maps.Keys(all)) {
		if here := all[queue]; here.found {
			noted = append(noted, here.Pause)
		}
	}
	if err == nil && len(noted) == 0 {
		err = errNoGateHere
	}
	if err != nil {
		return refcache.Pause{}, fmt.Errorf("pause %s: %w", t, err)
	}
	last := noted[len(noted)-1]
	if t.Gate != "" && len(noted) > 1 {
		last.Queue = ""
	}
	return last, nil
}

var errNoGateHere = fmt.Errorf("%w; refq gates lists those that there are", ErrNoGate)

// Resume ends a pause, whoever began it. Calls that waited are started at once. It returns false when nothing was paused by that
// name: a function that is paused in one version is resumed in that. The error is ErrNoGate if there is no such gate.
//
// An error names the queues of which it is not known whether it was done, as that of [Admin.Pause] does.
func (a *Admin) Resume(ctx context.Context, t Target) (was bool, err error) {
	if err := a.checkMade(); err != nil {
		return false, err
	}
	type resumed struct{ was, found bool }
	all, err := inQueuesOf(ctx, a, t, func(ctx context.Context, queue string) (here resumed, err error) {
		here.found = true
		if t.Gate == "" {
			here.was, err = a.store.Resume(ctx, queue, t.pause())
		} else {
			here.was, here.found, err = a.store.ResumeGate(ctx, queue, t.pause())
		}
		return here, err
	})
	found := false
	for _, here := range all {
		was, found = was || here.was, found || here.found
	}
	if err == nil && !found {
		err = errNoGateHere
	}
	if err != nil {
		return false, fmt.Errorf("resume %s: %w", t, err)
	}
	return was, nil
}

// inQueuesOf changes the queue that is named, or all of them for a function. It returns what came of it by queue.
func inQueuesOf[T any](ctx context.Context, a *Admin, t Target, change func(ctx context.Context, queue string) (T, error)) (map[string]T, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	queues, missing, err := a.store.QueueNames(ctx)
	switch {
	case err != nil:
		return nil, err
	case t.Queue == "" && len(queues) > 0:
		return store.ChangeQueues(ctx, a.store, queues, missing, change)
	case slices.Contains(queues, t.Queue):
		here, err := change(ctx, t.Queue)
		return map[string]T{t.Queue: here}, err
	case len(missing) > 0:
		return nil, store.Partial(missing, false)
	case len(queues) == 0:
		return nil, fmt.Errorf("%w: Redis knows of none yet; a worker or a first call makes one known", ErrUnknownQueue)
	}
	return nil, fmt.Errorf("%w; there are: %s", ErrUnknownQueue, strings.Join(slices.Sorted(slices.Values(queues)), ", "))
}

// Pauses returns what is paused: queues by name, then functions by name. A queue that was paused in asynq's web UI is among
// them. With a *monitor.PartialError it is what is paused in the other queues.
func (a *Admin) Pauses(ctx context.Context) ([]refcache.Pause, error) {
	if err := a.checkMade(); err != nil {
		return nil, err
	}
	found, err := store.InQueues(ctx, a.store, nil, a.store.Pauses)
	var all []refcache.Pause
	for _, queue := range found {
		all = append(all, queue.Told...)
	}
	return mergePauses(all), err
}

// mergePauses sorts pauses, and keeps one of each function: the last that was noted.
func mergePauses(all []refcache.Pause) []refcache.Pause {
	at := func(p refcache.Pause) time.Time {
		if p.At == nil {
			return time.Time{}
		}
		return *p.At
	}
	slices.SortFunc(all, func(a, b refcache.Pause) int {
		return cmp.Or(strings.Compare(a.Func, b.Func), strings.Compare(a.Queue, b.Queue), strings.Compare(a.Target(), b.Target()), at(b).Compare(at(a)))
	})
	return slices.CompactFunc(all, func(a, b refcache.Pause) bool { return a.Target() == b.Target() && a.Queue == b.Queue })
}
