package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

const (
	none  refcache.Status = ""      // no record
	stays refcache.Status = "stays" // as it is
)

// situations are the states that a command may meet.
var situations = []struct {
	name   string
	status refcache.Status
	build  func(q *queue) task
}{
	{"none", none, func(q *queue) task { return task{ref: q.ref(), token: "t0", worker: "w1"} }},
	{"pending", refcache.Pending, (*queue).pending},
	{"handed back", refcache.Pending, func(q *queue) task { return q.end(q.processing(), store.Released("note", "w1")) }},
	{"processing", refcache.Processing, (*queue).processing},
	{"processing again", refcache.Processing, func(q *queue) task { return q.start(q.retrying(0)) }},
	{"retrying, due", refcache.Retrying, func(q *queue) task { return q.retrying(0) }},
	{"complete", refcache.Complete, (*queue).complete},
	{"failed", refcache.Failed, (*queue).failed},
	{"cancelled", refcache.Cancelled, (*queue).cancelled},
	{"cancelled early", refcache.Cancelled, func(q *queue) task { return q.cancel(q.pending()) }},
}

// command is something that somebody sends about a task. Sent twice for the same task it is the same bytes.
type command struct {
	name   string
	script string
	from   []refcache.Status // where it takes effect
	to     refcache.Status
	send   func(q *queue, k task) any // what comes back, without its times
}

var commands = []command{
	{"submit", "submit", statuses(none, refcache.Cancelled), refcache.Pending, submitting(store.Submission{Request: "r1"})},
	{"submit, retry failed", "submit", statuses(none, refcache.Cancelled, refcache.Failed), refcache.Pending,
		submitting(store.Submission{Request: "r2", RetryFailed: true})},
	{"submit, refresh", "submit", statuses(none, refcache.Cancelled, refcache.Complete), refcache.Pending,
		submitting(store.Submission{Request: "r3", Refresh: true})},
	{"claim", "claim", statuses(refcache.Pending, refcache.Retrying), refcache.Processing, func(q *queue, k task) any {
		c := q.claim(k.ref, "next", "w2")
		return fmt.Sprint(c.Run, c.Record.Attempt, string(c.Args), c.Later)
	}},
	{"finish, complete", "finish", statuses(refcache.Processing), refcache.Complete, func(q *queue, k task) any {
		return q.finish(k.ref, k.token, q.Completed([]byte("1")))
	}},
	{"finish, error", "finish", statuses(refcache.Processing), refcache.Retrying, func(q *queue, k task) any {
		return q.finish(k.ref, k.token, store.Errored(failure()))
	}},
	{"finish, permanent", "finish", statuses(refcache.Processing), refcache.Failed, func(q *queue, k task) any {
		return q.finish(k.ref, k.token, store.Errored(permanent()))
	}},
	{"finish, release", "finish", statuses(refcache.Processing), refcache.Pending, func(q *queue, k task) any {
		return q.finish(k.ref, k.token, store.Released("", "w1"))
	}},
	{"redeliver", "redeliver", statuses(refcache.Processing), refcache.Pending, func(q *queue, k task) any {
		taken, _ := q.redeliver(k, k.worker)
		return taken
	}},
	{"new_delivery", "new_delivery", statuses(refcache.Pending, refcache.Retrying), stays, func(q *queue, k task) any {
		r, err := q.NewDelivery(q.Context(), k.ref, seen(k).Delivery)
		return fmt.Sprint(r.Delivery, err)
	}},
	{"progress", "progress", statuses(refcache.Processing), stays, func(q *queue, k task) any {
		current, err := q.Progress(q.Context(), k.ref, k.token, refcache.Progress{Current: 1, Total: 3})
		require.NoError(q, err)
		return current
	}},
	{"retry", "retry", statuses(refcache.Failed), refcache.Pending, retrying(false)},
	{"retry, fresh", "retry", statuses(refcache.Failed), refcache.Pending, retrying(true)},
	{"cancel", "cancel", statuses(refcache.Pending, refcache.Retrying, refcache.Processing), refcache.Cancelled, func(q *queue, k task) any {
		done, _, err := q.Cancel(q.Context(), seen(k), "ann@host")
		return fmt.Sprint(done, err)
	}},
	{"delete", "delete", statuses(refcache.Complete, refcache.Failed, refcache.Cancelled), none, func(q *queue, k task) any {
		gone, err := q.Delete(q.Context(), seen(k))
		return fmt.Sprint(gone, err)
	}},
	{"read", "read", nil, none, func(q *queue, k task) any {
		_, result, err := q.Result(q.Context(), k.ref, "")
		_, _ = q.Info(q.Context(), k.ref)
		return fmt.Sprint(string(result), err)
	}},
}

// leadsTo is the status after the command took effect.
func (c command) leadsTo(from refcache.Status) refcache.Status {
	if c.to == stays {
		return from
	}
	return c.to
}

func statuses(s ...refcache.Status) []refcache.Status { return s }

// seen is what a person saw of the task; something, if there is none.
func seen(k task) store.Record {
	if k.seen.Ref == "" {
		return store.Record{Ref: k.ref, CreatedAt: time.UnixMilli(1), Cycle: 1, Delivery: 1}
	}
	return k.seen
}

func submitting(c store.Submission) func(q *queue, k task) any {
	return func(q *queue, k task) any {
		c := c
		c.Namespace, c.Policy, c.Args = "default", q.policy(), []byte(`{"n":1}`)
		s := q.submit(k.ref, c)
		return fmt.Sprint(s.Starts, s.Status, s.Cycle, s.Delivery, string(s.Result))
	}
}

func retrying(fresh bool) func(q *queue, k task) any {
	return func(q *queue, k task) any {
		outcome, _, err := q.Retry(q.Context(), seen(k), fmt.Sprint("retry", fresh), "ann@host", fresh)
		return fmt.Sprint(outcome, err)
	}
}

// permitted lists the commands that take effect in a status.
func permitted(status refcache.Status) []command {
	return slices.DeleteFunc(slices.Clone(commands), func(c command) bool { return !slices.Contains(c.from, status) })
}

func TestCommandsAreTheTableOfTransitions(t *testing.T) {
	t.Parallel()
	// What depends on the record besides its status has tests of its own.
	want := map[store.Transition]bool{
		{Script: "redeliver", From: refcache.Processing, To: refcache.Failed}:   true,
		{Script: "redeliver", From: refcache.Processing, To: refcache.Complete}: true,
		{Script: "cancel", From: refcache.Pending, To: refcache.Complete}:       true,
		{Script: "cancel", From: refcache.Retrying, To: refcache.Complete}:      true,
		{Script: "cancel", From: refcache.Processing, To: refcache.Complete}:    true,
	}
	for _, c := range commands {
		for _, from := range c.from {
			want[store.Transition{Script: c.script, From: from, To: c.leadsTo(from)}] = true
		}
	}
	got := map[store.Transition]bool{}
	for _, row := range store.Transitions() {
		got[row] = true
	}
	require.Equal(t, want, got)
}

func TestEveryCommandInEveryStatusDoesWhatTheTableSaysOrNothing(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, s := range situations {
			for _, c := range commands {
				q := q.another()
				k := s.build(q)
				before := q.dump()
				c.send(q, k)
				if !slices.Contains(c.from, s.status) {
					require.Equal(q, before, q.dump(), "%s when %s", c.name, s.name)
					continue
				}
				require.Equal(q, string(c.leadsTo(s.status)), q.hash(k.ref)["status"], "%s when %s", c.name, s.name)
				require.NotEqual(q, before, q.dump(), "%s when %s", c.name, s.name)
				q.sound(k.ref)
			}
		}
	})
}

func TestEveryCommandSentTwiceActsOnce(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, s := range situations {
			for _, c := range commands {
				q := q.another()
				k := s.build(q)
				first := c.send(q, k)
				after := q.dump()
				again := c.send(q, k)
				require.Equal(q, after, q.dump(), "%s when %s", c.name, s.name)
				if c.script != "redeliver" { // there the first copy's sender rings, or a sweep does
					require.Equal(q, first, again, "%s when %s", c.name, s.name)
				}
			}
		}
	})
}

func TestLateCopiesChangeNothing(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, s := range situations {
			for _, early := range permitted(s.status) {
				for _, between := range permitted(early.leadsTo(s.status)) {
					if early.script == "claim" && between.script == "redeliver" {
						continue // a claim is sent once
					}
					q := q.another()
					k := s.build(q)
					early.send(q, k)
					later := k
					if hash := q.hash(k.ref); len(hash) > 0 {
						later.seen, later.token, later.worker = q.read(k.ref), hash["token"], hash["worker"]
					}
					between.send(q, later)
					after := q.dump()
					early.send(q, k)
					require.Equal(q, after, q.dump(), "%s when %s, late after %s", early.name, s.name, between.name)
				}
			}
		}
	})
}
