package store_test

import (
	"fmt"
	"runtime/debug"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/refcache"
)

// People, producers, workers, asynq and the network do what they like: commands come late, twice or never, answers get
// lost, processes die, people act on old news. After each command Redis must be as the protocol says (modelOracle),
// and nothing that must never happen has happened (modelLaws). In the end the faults stop, and what is left of the
// workers must bring every task to its end.
//
// REFQ_TEST_ROUNDS says how much of it runs (testkit.Rounds); -rapid.checks=N runs more of it, -rapid.steps=N longer
// ones. A failure tells the shortest story found.
func TestWhateverHappensTasksFollowTheProtocolAndEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		modelBubble(t, func(server *memredis.Server, rdb redis.UniversalClient) {
			w := newModelWorld(rt, server, rdb)
			defer w.end()
			w.begin()
			rt.Repeat(w.actions())
			w.settle()
		})
	})
}

// modelBubble runs a check in a bubble and with a Redis of its own, so that its clock starts where every other's does.
func modelBubble(t *testing.T, check func(*memredis.Server, redis.UniversalClient)) {
	var failure any // rapid's way to end a check; it must not end the bubble
	var stack []byte
	synctest.Test(t, func(t *testing.T) {
		server, err := memredis.New()
		require.NoError(t, err)
		defer server.Close()
		rdb := server.Client()
		defer rdb.Close()
		defer func() {
			if failure = recover(); failure != nil {
				stack = debug.Stack()
			}
		}()
		modelAhead = 0
		check(server, rdb)
	})
	switch kind := fmt.Sprintf("%T", failure); {
	case failure == nil:
	case kind == "rapid.invalidData":
		panic(failure) // rapid knows failures by their line, and this is none
	case kind != "rapid.stopTest":
		panic(fmt.Sprintf("%v\n%s", failure, stack))
	default:
		panic(failure)
	}
}

// begin lets each task have a past.
func (w *modelWorld) begin() {
	pasts := [][]modelOutcome{nil, {{kind: "error", result: "hopeless", permanent: true}}, {{kind: "complete", result: `"first"`}},
		{{kind: "error", result: "boom", delay: 1003 * time.Millisecond}}, {{kind: "release"}},
		{{kind: "lost"}, {kind: "lost"}, {kind: "lost"}}}
	for _, ref := range w.refs {
		if past := modelPick(w, "past", pasts); past != nil {
			w.calm = true
			w.post(w.submit(w.people[0], ref, w.call(modelPick(w, "policy", modelPolicies))))
			for delivery, outcome := range past {
				w.workers[0].attempt(ref, w.bell(ref, 1+delivery), outcome)
			}
			w.calm = false
		}
	}
}

// attempt makes an attempt that ends at once.
func (wk *modelWorker) attempt(ref refcache.Ref, b *modelBell, outcome modelOutcome) {
	wk.answer(ref, b)
	if r := wk.runs[0]; outcome.kind == "lost" {
		wk.forget(r)
		wk.beat()
	} else {
		r.returned(outcome)
	}
}

// settle ends the faults. What is left of the workers must bring every task to its end in bounded time.
func (w *modelWorld) settle() {
	w.say("no more faults")
	arrives := rapid.Bool().Draw(w.t, "late commands arrive")
	errors := rapid.Bool().Draw(w.t, "functions fail")
	w.calm = true
	for _, l := range slices.Clone(w.late) {
		if arrives {
			w.arrive(l)
		} else if !l.gone {
			w.giveUp(l)
		}
	}
	if len(w.alive()) == 0 {
		w.startAction()
	}
	bound := 3*time.Minute + w.back // two of them patience with a doorbell that is stuck
	for n := 0; !w.settled(); n++ {
		if n > int(bound/modelTick) {
			w.fail("not everything has ended %v after the last fault", bound)
		}
		w.tick(n, nil)
		for _, b := range w.ringing() {
			modelCyclic(w.alive(), n).answer(b.ref, b)
		}
		w.finishAll(errors)
	}
	w.compareInfos()
}

func modelCyclic[T any](from []T, n int) T { return from[n%len(from)] }

// finishAll lets every function return.
func (w *modelWorld) finishAll(errors bool) {
	for _, wk := range w.alive() {
		for _, r := range slices.Clone(wk.runs) {
			if errors {
				r.returned(modelOutcome{kind: "error", result: "boom", delay: 1003 * time.Millisecond})
			} else {
				r.returned(modelOutcome{kind: "complete", result: `"settled"`})
			}
		}
	}
}

// settled reports whether every task has ended, and nobody is remembered who is gone.
func (w *modelWorld) settled() bool {
	for _, t := range w.seen.Tasks {
		if !t.Status.IsFinal() {
			return false
		}
	}
	for worker := range w.seen.Sets["workers"] {
		if !slices.ContainsFunc(w.alive(), func(wk *modelWorker) bool { return wk.id == worker }) {
			return false
		}
	}
	for _, wk := range w.alive() {
		if len(wk.runs) > 0 {
			return false
		}
	}
	return len(w.seen.Claims) == 0
}
