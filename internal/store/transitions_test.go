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

// situation is a state that a command may meet.
type situation struct {
	name   string
	status refcache.Status
	build  func(q *queue) task
}

var situations = []situation{
	{"none", none, func(q *queue) task { return task{ref: q.ref(), token: "t0", worker: "w1"} }},
	{"waiting, undeclared", refcache.Waiting, func(q *queue) task { return q.inLine("closed", "k") }},
	{"waiting", refcache.Waiting, func(q *queue) task { q.fullGate(); return q.inLine("g", "k") }},
	{"waiting refresh", refcache.Waiting, func(q *queue) task {
		k, refresh := q.complete(), q.inTurn("closed", "k")
		refresh.Refresh = true
		k.seen = q.submit(k.ref, refresh).Record
		return k
	}},
	{"pending, permit", refcache.Pending, (*queue).admitted},
	{"pending, paused", refcache.Pending, func(q *queue) task { defer q.pauseGate(); return q.admitted() }},
	{"processing, permit", refcache.Processing, func(q *queue) task { return q.start(q.admitted()) }},
	{"retrying, turn", refcache.Retrying, func(q *queue) task { return q.end(q.start(q.admitted()), store.Errored(failure())) }},
	{"retrying, paused", refcache.Retrying, func(q *queue) task {
		defer q.pauseGate()
		return q.end(q.start(q.admitted()), store.Errored(failure()))
	}},
	{"failed, paused", refcache.Failed, func(q *queue) task {
		defer q.pauseGate()
		return q.end(q.start(q.admitted()), store.Errored(permanent()))
	}},
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

// elsewhere is the status that another one than usual follows, by command and situation.
var elsewhere = map[string]map[string]refcache.Status{
	"claim":               {"pending, paused": refcache.Waiting, "retrying, paused": refcache.Waiting},
	"finish, unavailable": {"processing, permit": refcache.Waiting},
	"cancel":              {"waiting refresh": refcache.Complete},
	"retry":               {"failed, paused": refcache.Waiting},
	"retry, fresh":        {"failed, paused": refcache.Waiting},
}

var commands = []command{
	{"submit", "submit", statuses(none, refcache.Cancelled), refcache.Pending, submitting(store.Submission{Request: "r1"})},
	{"submit, retry failed", "submit", statuses(none, refcache.Cancelled, refcache.Failed), refcache.Pending,
		submitting(store.Submission{Request: "r2", RetryFailed: true})},
	{"submit, refresh", "submit", statuses(none, refcache.Cancelled, refcache.Complete), refcache.Pending,
		submitting(store.Submission{Request: "r3", Refresh: true})},
	{"submit, in line", "submit", statuses(none, refcache.Cancelled, refcache.Failed, refcache.Complete), refcache.Waiting,
		submitting(store.Submission{Request: "r4", RetryFailed: true, Refresh: true, Turn: store.NewTurn("closed", "k", "", 0)})},
	{"claim", "claim", statuses(refcache.Pending, refcache.Retrying), refcache.Processing, func(q *queue, k task) any {
		c := q.claim(k.ref, "next", "w2")
		return fmt.Sprint(c.Run, c.Record.Attempt, string(c.Args), c.Later)
	}},
	{"let in", "gates", statuses(refcache.Waiting), refcache.Pending, func(q *queue, k task) any {
		for _, other := range q.permits("g") {
			if other != k.ref {
				_, _, err := q.Cancel(q.Context(), q.read(other), "ann@host")
				require.NoError(q, err)
			}
		}
		return nil
	}},
	{"enter", "enter", statuses(refcache.Processing), refcache.Waiting, entering("closed")},
	{"enter, room", "enter", statuses(refcache.Processing), stays, entering("open")},
	{"finish, unavailable", "finish", statuses(refcache.Processing), refcache.Pending, func(q *queue, k task) any {
		return q.finish(k.ref, k.token, store.UnavailableFor("503", time.Minute, "w1"))
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
	{"cancel", "cancel", statuses(refcache.Waiting, refcache.Pending, refcache.Retrying, refcache.Processing), refcache.Cancelled, func(q *queue, k task) any {
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

// takes reports whether the command takes effect in a situation.
func (c command) takes(s situation) bool {
	return slices.Contains(c.from, s.status) && (c.script != "gates" || s.name == "waiting")
}

// leadsTo is the status after the command took effect.
func (c command) leadsTo(s situation) refcache.Status {
	if other, ok := elsewhere[c.name][s.name]; ok {
		return other
	}
	if c.to == stays {
		return s.status
	}
	return c.to
}

// admitted is a pending task with the only permit of its gate.
func (q *queue) admitted() task {
	q.Helper()
	q.gate("g", store.GateNumbers{Each: 1})
	k := q.inLine("g", "k")
	k.worker = "w1"
	q.is(refcache.Pending, k)
	return k
}

// fullGate is a gate in which nobody else may start.
func (q *queue) fullGate() { q.admitted() }

func (q *queue) pauseGate() {
	q.Helper()
	require.NoError(q, q.rdb.HSet(q.Context(), q.key("gate:g"), "paused_until", "").Err())
}

// entering has an attempt ask for its turn, in a gate with room if it is the open one.
func entering(gate string) func(q *queue, k task) any {
	return func(q *queue, k task) any {
		if gate == "open" && q.hash(k.ref)["status"] == string(refcache.Processing) {
			require.NoError(q, q.rdb.HSet(q.Context(), q.key("gate:open"), "numbers", "0,0,0,1,0").Err())
		}
		entered, err := q.Enter(q.Context(), k.ref, k.token, store.NewTurn(gate, "k", "", 0))
		require.NoError(q, err)
		return entered
	}
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

// permitted lists the commands that take effect in a situation.
func permitted(s situation) []command {
	return slices.DeleteFunc(slices.Clone(commands), func(c command) bool { return !c.takes(s) })
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
		for _, s := range situations {
			if c.takes(s) {
				want[store.Transition{Script: c.script, From: s.status, To: c.leadsTo(s)}] = true
			}
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
				if c.script == "gates" && !c.takes(s) {
					continue // others may come in
				}
				if !c.takes(s) {
					require.Equal(q, before, q.dump(), "%s when %s", c.name, s.name)
					continue
				}
				require.Equal(q, string(c.leadsTo(s)), q.hash(k.ref)["status"], "%s when %s", c.name, s.name)
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
				if c.script != "redeliver" && c.name != "enter" { // there the first copy's sender rings, or a sweep does
					require.Equal(q, first, again, "%s when %s", c.name, s.name)
				}
			}
		}
	})
}

func TestLateCopiesChangeNothing(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, s := range situations {
			for _, early := range permitted(s) {
				for _, between := range permitted(situation{status: early.leadsTo(s)}) {
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
