package store_test

import (
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/refq/refq/refcache"
)

// modelLaws checks what must hold whatever the oracle says: it compares what was seen before and after each command.
type modelLaws struct {
	world *modelWorld
	lives map[string]*modelLife // by task

	invalidated map[string]int64 // when each stamp was set last: what Redis drops stays here
}

// modelLife is what must be remembered of a task.
type modelLife struct {
	outcomes   int // of the life that a submit or a person's retry began
	executions int // of the cycle
	handedBack int // of the cycle
}

// check compares the tasks before and after a command.
func (l *modelLaws) check(c *modelCommand, reply modelReply, before, now modelSight) {
	switch c.kind {
	case "submit":
		l.answersInTime(c, reply, now.Tasks[modelName(c.ref)])
		l.answersWhatIsValid(c, reply, now.Tasks[modelName(c.ref)])
	case "invalidate":
		for _, name := range c.stamps {
			l.invalidated[name] = modelNow()
		}
	}
	for _, ref := range l.world.refs {
		name := modelName(ref)
		was, is := before.Tasks[name], now.Tasks[name]
		switch {
		case is == nil && was != nil:
			l.require(c.kind == "delete" && c.ref == ref || c.kind == "time", "the record of %s is gone", name)
			l.require(was.Status.IsFinal(), "%s was in flight and is gone", name)
		case is == nil:
		case was == nil:
			l.require(c.kind == "submit", "%s came from nowhere", name)
			l.lives[name] = &modelLife{}
		case ref != c.ref:
			l.require(cmp.Equal(was, is), "a command about another task changed %s", name)
		default:
			l.moved(c, name, was, is)
		}
		if is != nil {
			l.alwaysTrue(name, is)
			l.listedOnce(name, is, now.Done)
		}
	}
}

// answersInTime checks that no result answers that has expired, and none as a whole that is older than asked, unless a
// refresh has just failed.
func (l *modelLaws) answersInTime(c *modelCommand, reply modelReply, is *modelTask) {
	if !reply.answered {
		return
	}
	begun, ends := is.Started, is.Expires
	if is.AsOf > 0 {
		begun, ends = is.AsOf, is.ResultEnds
	}
	l.require(modelNow() < ends, "a result of %s answers that expired at %d", c.ref, ends)
	old := c.maxAge > 0 && modelNow()-begun > c.maxAge.Milliseconds()
	l.require(!old || is.Status.InFlight() || is.Refresh != "" || is.Req == c.req, "%s is complete with a result that is older than asked", c.ref)
}

// answersWhatIsValid checks that nothing answers a call which an attempt made that began before the call's stamps were set,
// but to whom asked for that attempt. A clock that was set back may have given an attempt too late a time.
func (l *modelLaws) answersWhatIsValid(c *modelCommand, reply modelReply, is *modelTask) {
	if is == nil || is.Req == c.req || l.world.back > 0 {
		return
	}
	for _, name := range c.stamps {
		at, known := l.invalidated[name]
		if known && reply.answered && !reply.invalid {
			l.require(is.asOf() > at, "a result of %s answers that %s has made invalid", c.ref, name)
		}
		if known && is.Status == refcache.Failed {
			l.require(is.Attempts[len(is.Attempts)-1].Started > at, "a failure of %s answers that %s has made invalid", c.ref, name)
		}
	}
}

func (l *modelLaws) alwaysTrue(name string, is *modelTask) {
	final := is.Status.IsFinal()
	l.require(is.Retries >= 0 && is.Retries <= is.MaxRetries, "%s has done %d retries of %d", name, is.Retries, is.MaxRetries)
	l.require((is.Expires > 0) == final, "%s is %s and expires at %d", name, is.Status, is.Expires)
	l.require((is.Token != "") == (is.Status == refcache.Processing), "%s is %s under token %q", name, is.Status, is.Token)
	l.require(!final || (is.Result != "") == (is.Status == refcache.Complete), "%s is %s with result %q", name, is.Status, is.Result)
	life := l.lives[name]
	most := 1 + is.MaxRetries + refcache.MaxLost + life.handedBack
	l.require(life.executions <= most, "%s was executed %d times in a cycle, may be %d times", name, life.executions, most)
}

// listedOnce checks that the list of completions has the end of a complete task, once, and readers can tell it from others.
func (l *modelLaws) listedOnce(name string, is *modelTask, done []modelCompletion) {
	n := 0
	for _, c := range done {
		if c == (modelCompletion{name, is.Ended}) {
			n++
		}
	}
	again := l.world.back > 0 && n > 1 // a clock that is set back may meet the same millisecond twice
	l.require(is.Status != refcache.Complete || n == 1 || again, "%s ended at %d, and is listed %d times at that", name, is.Ended, n)
}

// moved checks a task that was there before and is there now.
func (l *modelLaws) moved(c *modelCommand, name string, was, is *modelTask) {
	life := l.lives[name]
	l.require(is.Delivery >= was.Delivery, "the delivery of %s goes back", name)
	l.require(is.Created == was.Created, "%s was created again", name)
	n := len(was.Attempts)
	l.require(len(is.Attempts) >= n && slices.Equal(was.Attempts, is.Attempts[:n]), "the history of %s is not kept", name)
	if c.req != "" && c.req == was.Req {
		kept := *is
		kept.Waiters = was.Waiters
		l.require(cmp.Equal(was, &kept), "a resend changed %s", name)
	}
	if c.kind == "finish" && c.token != was.Token {
		l.require(cmp.Equal(was, is), "an attempt that is not current changed %s", name)
	}
	if c.kind == "redeliver" && was.Token != is.Token {
		l.onlyLostIsTaken(was)
	}
	if was.answer() != "" && !(c.kind == "finish" && is.Status == refcache.Complete && is.Refresh == "") {
		l.require(is.Result == was.Result, "%s lost its result to %s", name, c.kind)
	}
	if was.Status.IsFinal() {
		l.afterTheEnd(c, name, was, is)
	} else if is.Status.IsFinal() {
		life.outcomes++
		l.require(life.outcomes == 1, "%s ended %d times in one life", name, life.outcomes)
	}
	if is.Cycle != was.Cycle {
		life.executions, life.handedBack = 0, 0
	}
	if is.Status == refcache.Processing && was.Status != refcache.Processing {
		life.executions++
	}
	if n := len(is.Events); n > 0 && is.Events[n-1].Kind == refcache.EventHandedBack &&
		(n > len(was.Events) || is.Events[n-1].Times > was.Events[n-1].Times) {
		life.handedBack++
	}
}

// afterTheEnd checks what may become of a task that had ended: nothing, or another life because somebody asked.
func (l *modelLaws) afterTheEnd(c *modelCommand, name string, was, is *modelTask) {
	if is.Status.IsFinal() {
		l.require(cmp.Equal(was, is), "%s changed after its end", name)
		return
	}
	l.require(c.kind == "submit" || c.kind == "retry", "%s came back from %s by a %s", name, was.Status, c.kind)
	l.require(is.Status == refcache.Pending, "%s came back as %s", name, is.Status)
	l.require(is.Cycle == was.Cycle+1 || c.kind == "retry" && is.Cycle == was.Cycle && is.Retries == was.Retries+1,
		"%s came back in cycle %d after %d with %d retries after %d", name, is.Cycle, was.Cycle, is.Retries, was.Retries)
	l.require(was.Status != refcache.Cancelled || is.Cycle > was.Cycle, "%s runs again in the cycle in which it was cancelled", name)
	l.require(is.Delivery > was.Delivery, "%s came back under its old delivery", name)
	l.lives[name].outcomes = 0
}

// onlyLostIsTaken checks that nobody who lives, was heard of and knows of the attempt lost it (R2).
func (l *modelLaws) onlyLostIsTaken(was *modelTask) {
	for _, wk := range l.world.alive() {
		silent := modelNow() - l.world.seen.Sets["workers"][wk.id]
		l.require(!wk.has(was.Token) || silent > modelDeadAfter, "%s was taken from %s, who is at it", was.Token, wk.id)
	}
}

// onlyVoidIsDropped checks that a worker gives up no attempt that is its own to finish.
func (l *modelLaws) onlyVoidIsDropped(r *modelRun) {
	t := l.world.seen.Tasks[modelName(r.ref)]
	l.require(r.copied || t == nil || t.Token != r.token, "%s drops %s, which is current", r.worker.id, r.token)
}

func (l *modelLaws) require(holds bool, format string, args ...any) {
	if !holds {
		l.world.t.Helper()
		l.world.fail(format, args...)
	}
}
