package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// gate declares a gate, as the beat of a worker does that knows the function f.
func (q *queue) gate(name string, n store.GateNumbers) {
	q.Helper()
	_, err := q.Heartbeat(q.Context(), q.name, store.Beat{Worker: "w1", About: `{"functions":["f@1"],"since":5,"slots":2}`,
		Gates: map[string]store.GateNumbers{name: n}})
	require.NoError(q, err)
	q.keepAlive("w1")
}

// inTurn is a submission of a call with a turn. Of two that are made in one millisecond the later one has the smaller head start.
func (q *queue) inTurn(gate, key string) store.Submission {
	s := q.submission()
	q.made++
	s.Request, s.Turn = fmt.Sprint("r", q.ref()), store.NewTurn(gate, key, "", time.Second-time.Duration(q.made)*time.Millisecond)
	return s
}

// inLine makes a call in a gate: it waits unless there is room.
func (q *queue) inLine(gate, key string) task {
	q.Helper()
	ref := q.ref()
	made := q.submit(ref, q.inTurn(gate, key))
	return task{ref: ref, seen: made.Record}
}

// letIn has the store tell whose turn has come, for as long as a test takes.
func (q *queue) letIn() *[]refcache.Ref {
	rung := &[]refcache.Ref{}
	q.Rings(func(_ context.Context, tasks []store.Record) {
		for _, task := range tasks {
			*rung = append(*rung, task.Ref)
		}
	})
	return rung
}

// permits are the calls that have one.
func (q *queue) permits(gate string) (refs []refcache.Ref) {
	for _, member := range q.rdb.ZRange(q.Context(), q.key("gate:"+gate+":held"), 0, -1).Val() {
		refs = append(refs, refcache.Ref(q.name+":"+member[:32]))
	}
	return refs
}

func (q *queue) is(status refcache.Status, tasks ...task) {
	q.Helper()
	for _, k := range tasks {
		require.Equal(q, status, q.read(k.ref).Status)
	}
}

// tries starts a call whose turn has come, and says whether it runs.
func (q *queue) tries(k task) (task, bool) {
	q.Helper()
	q.made++
	k.token, k.worker = fmt.Sprint("t", q.made), "w1"
	answer := q.claim(k.ref, k.token, k.worker)
	return k, answer.Run
}

func TestOfAKeyNoMoreRunThanMay(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		q.gate("g", store.GateNumbers{Each: 1})
		first, second, other := q.inLine("g", "a"), q.inLine("g", "a"), q.inLine("g", "b")
		q.is(refcache.Pending, first, other)
		q.is(refcache.Waiting, second)
		require.ElementsMatch(q, []refcache.Ref{first.ref, other.ref}, q.permits("g"))

		first, runs := q.tries(first)
		require.True(q, runs)
		q.finish(first.ref, first.token, q.Completed([]byte("1")))
		q.is(refcache.Pending, second)
		require.Equal(q, []refcache.Ref{second.ref}, *rung)
		q.finish(first.ref, first.token, q.Completed([]byte("1"))) // a resend names nobody
		require.Len(q, *rung, 1)
		require.Equal(q, 2, q.read(second.ref).Delivery)
		require.ElementsMatch(q, []refcache.Ref{second.ref, other.ref}, q.permits("g"))
	})
}

func TestACompleteTaskHasNoTurnLeft(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1})
		k, _ := q.tries(q.inLine("g", "a"))
		require.Contains(q, q.hash(k.ref), "turn")
		q.finish(k.ref, k.token, q.Completed([]byte("1")))
		require.NotContains(q, q.hash(k.ref), "turn")
		require.NotContains(q, q.hash(k.ref), "v")
		require.Empty(q, q.permits("g"))
	})
}

func TestWhateverEndsACallGivesItsPlaceToTheNext(t *testing.T) {
	for name, ends := range map[string]func(q *queue, k task){
		"complete": func(q *queue, k task) { q.finish(k.ref, k.token, q.Completed([]byte("1"))) },
		"retrying": func(q *queue, k task) { q.finish(k.ref, k.token, store.Errored(failure())) },
		"failed":   func(q *queue, k task) { q.finish(k.ref, k.token, store.Errored(permanent())) },
		"cancelled": func(q *queue, k task) {
			_, _, err := q.Cancel(q.Context(), k.seen, "ann")
			require.NoError(q, err)
		},
		"lost": func(q *queue, k task) {
			q.set(k.ref, "lost_count", "3")
			q.silence("w1", time.Hour)
			taken, _ := q.redeliver(k, "w2")
			require.True(q, taken)
			q.keepAlive("w1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				rung := q.letIn()
				q.gate("g", store.GateNumbers{Each: 1})
				first, second := q.inLine("g", "a"), q.inLine("g", "a")
				first, _ = q.tries(first)
				ends(q, first)
				require.Equal(q, []refcache.Ref{second.ref}, *rung)
				require.Equal(q, []refcache.Ref{second.ref}, q.permits("g"))
				q.is(refcache.Pending, second)
			})
		})
	}
}

func TestWhatIsHandedBackKeepsItsPermit(t *testing.T) {
	for name, gives := range map[string]func(q *queue, k task){
		"handed back": func(q *queue, k task) { q.finish(k.ref, k.token, store.Released("", "w1")) },
		"redelivered": func(q *queue, k task) {
			q.silence("w1", time.Hour)
			q.redeliver(k, "w2")
			q.keepAlive("w1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				q.gate("g", store.GateNumbers{Each: 1})
				first, second := q.inLine("g", "a"), q.inLine("g", "a")
				first, _ = q.tries(first)
				gives(q, first)
				q.is(refcache.Pending, first)
				q.is(refcache.Waiting, second)
				require.Equal(q, []refcache.Ref{first.ref}, q.permits("g"))
			})
		})
	}
}

func TestACancelledCallLeavesItsLine(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		q.gate("g", store.GateNumbers{Each: 1})
		first, second := q.inLine("g", "a"), q.inLine("g", "a")
		_, _, err := q.Cancel(q.Context(), second.seen, "ann")
		require.NoError(q, err)
		q.is(refcache.Cancelled, second)
		first, _ = q.tries(first)
		q.finish(first.ref, first.token, q.Completed([]byte("1")))
		require.Empty(q, *rung)
		q.emptyGate("g")
	})
}

// emptyGate checks that nothing is left of what waited and ran in a gate.
func (q *queue) emptyGate(gate string) {
	q.Helper()
	keys, err := q.rdb.Keys(q.Context(), q.key("gate:"+gate+":*")).Result()
	require.NoError(q, err)
	require.Empty(q, keys)
	require.Zero(q, q.rdb.Exists(q.Context(), q.key("waiting"), q.key("due")).Val())
}

func TestKeysAndSharesTakeTurns(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		q.gate("g", store.GateNumbers{All: 1})
		names := map[refcache.Ref]string{}
		call := func(key, share string, ahead time.Duration) task {
			ref, s := q.ref(), q.inTurn("g", key)
			s.Turn.Share, s.Turn.Ahead = share, s.Turn.Ahead+ahead
			names[ref] = key + share
			return task{ref: ref, seen: q.submit(ref, s).Record}
		}
		running, _ := q.tries(call("z", "", 0))
		for _, place := range []string{"a1", "a1", "a1", "a2", "b1", "b1"} {
			call(place[:1], place[1:], 0)
		}
		var order []string
		for range 6 {
			q.finish(running.ref, running.token, q.Completed([]byte("1")))
			next := (*rung)[len(*rung)-1]
			order = append(order, names[next])
			running, _ = q.tries(task{ref: next})
		}
		require.Equal(q, "a1 b1 a2 b1 a1 a1", strings.Join(order, " "))
	})
}

func TestAHeadStartIsServedAsIfMadeEarlier(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		q.gate("g", store.GateNumbers{Each: 1})
		running, _ := q.tries(q.inLine("g", "a"))
		q.inLine("g", "a")
		ref, s := q.ref(), q.inTurn("g", "a")
		s.Turn.Ahead = time.Minute
		q.submit(ref, s)
		q.finish(running.ref, running.token, q.Completed([]byte("1")))
		require.Equal(q, []refcache.Ref{ref}, *rung)
	})
}

func TestARetryAsksForItsTurnAgain(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		q.gate("g", store.GateNumbers{Each: 1})
		first, second := q.inLine("g", "a"), q.inLine("g", "a")
		first, _ = q.tries(first)
		q.finish(first.ref, first.token, store.Errored(failure()))
		q.due(first.ref, time.Second)
		answer := q.claim(first.ref, "t2", "w1")
		require.False(q, answer.Run)
		require.Zero(q, answer.Later, "its doorbell is acknowledged")
		q.is(refcache.Waiting, first)

		second, _ = q.tries(second)
		q.finish(second.ref, second.token, q.Completed([]byte("1")))
		require.Equal(q, []refcache.Ref{second.ref, first.ref}, *rung)
		require.Equal(q, 2, q.claim(first.ref, "t3", "w1").Record.Attempt)
	})
}

func TestTooManyMayNotWait(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1, MostWaiting: 1})
		q.inLine("g", "a")
		waiting := q.inLine("g", "a")
		before := q.dump()
		_, err := q.Submit(q.Context(), q.ref(), q.inTurn("g", "a"))
		require.ErrorIs(q, err, refcache.ErrTooManyWaiting)
		require.EqualError(q, err, "key a of gate g of queue "+q.name+": too many calls of the key wait for their turn: call again later")
		require.Equal(q, before, q.dump())
		joined := q.submit(waiting.ref, q.inTurn("g", "a"))
		require.Equal(q, refcache.Waiting, joined.Status)
	})
}

func TestARetryByHandIsNotRefused(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1, MostWaiting: 1})
		failed, _ := q.tries(q.inLine("g", "a"))
		q.finish(failed.ref, failed.token, store.Errored(permanent()))
		q.inLine("g", "a")
		q.inLine("g", "a")
		outcome, record, err := q.Retry(q.Context(), q.read(failed.ref), "retry1", "ann", true)
		require.NoError(q, err)
		require.Equal(q, store.RetryAccepted, outcome)
		require.Equal(q, refcache.Waiting, record.Status)
	})
}

func TestAGateThatNobodyDeclaresLetsNobodyIn(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		k := q.inLine("g", "a")
		q.is(refcache.Waiting, k)
		q.gate("g", store.GateNumbers{Each: 1})
		q.is(refcache.Pending, k)
		require.Equal(q, []refcache.Ref{k.ref}, *rung)
	})
}

func TestRatesAreKept(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		q.gate("g", store.GateNumbers{All: store.AllSlots, Interval: time.Hour, Burst: 2})
		first, second, third := q.inLine("g", "a"), q.inLine("g", "a"), q.inLine("g", "a")
		q.is(refcache.Pending, first, second)
		q.is(refcache.Waiting, third)
		due, err := q.LetInDue(q.Context(), q.name)
		require.NoError(q, err)
		require.InDelta(q, time.Hour, due, float64(time.Minute))
		require.Empty(q, *rung)

		q.rdb.HSet(q.Context(), q.key("gate:g:k:a"), "tat", q.now().Add(time.Hour).UnixMicro())
		q.score("due", "turn:g/a", q.now())
		due, err = q.LetInDue(q.Context(), q.name)
		require.NoError(q, err)
		require.Negative(q, due)
		require.Equal(q, []refcache.Ref{third.ref}, *rung)
	})
}

func TestWhatIsUnavailableClosesItsKey(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		q.gate("g", store.GateNumbers{Each: 2})
		first, other := q.inLine("g", "a"), q.inLine("g", "b")
		first, _ = q.tries(first)
		done := q.finish(first.ref, first.token, store.UnavailableFor("429: slow down", time.Hour, "w1"))
		require.Equal(q, refcache.Waiting, done.Status)
		info := q.info(first.ref)
		require.Zero(q, info.RetryCount)
		require.Zero(q, info.Attempt)
		require.Equal(q, "429: slow down", info.LastError)
		require.Equal(q, refcache.EventUnavailable, info.Events[0].Kind)
		require.Equal(q, "429: slow down", info.Events[0].Note)
		second := q.inLine("g", "a")
		q.is(refcache.Waiting, first, second)
		q.is(refcache.Pending, other)

		// When the time is over one call goes alone, the one that was made first.
		q.rdb.HSet(q.Context(), q.key("gate:g:k:a"), "closed_until", q.ago(time.Second))
		q.score("due", "turn:g/a", q.now())
		_, err := q.LetInDue(q.Context(), q.name)
		require.NoError(q, err)
		require.Equal(q, []refcache.Ref{first.ref}, *rung)
		first, runs := q.tries(first)
		require.True(q, runs)
		q.is(refcache.Waiting, second)
		q.finish(first.ref, first.token, q.Completed([]byte("1")))
		q.is(refcache.Pending, second)
	})
}

func TestACallWithoutATurnEnters(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		q.gate("g", store.GateNumbers{Each: 1})
		first, second := q.processing(), q.processing()
		turn := store.NewTurn("g", "a", "", 0)
		for _, want := range []store.Entered{store.EnteredRuns, store.EnteredRuns} { // the second is a resend
			entered, err := q.Enter(q.Context(), first.ref, first.token, turn)
			require.NoError(q, err)
			require.Equal(q, want, entered)
		}
		entered, err := q.Enter(q.Context(), second.ref, second.token, turn)
		require.NoError(q, err)
		require.Equal(q, store.EnteredWaits, entered)
		q.is(refcache.Waiting, second)
		require.Zero(q, q.read(second.ref).Attempt)
		q.finish(first.ref, first.token, q.Completed([]byte("1")))
		require.Equal(q, []refcache.Ref{second.ref}, *rung)
		entered, err = q.Enter(q.Context(), second.ref, second.token, turn)
		require.NoError(q, err)
		require.Equal(q, store.EnteredVoid, entered)
	})
}

func TestACallInARenamedGateEntersTheNewOne(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		q.gate("old", store.GateNumbers{Each: 1})
		q.gate("new", store.GateNumbers{Each: 1})
		first, second := q.inLine("old", "a"), q.inLine("old", "a")
		first, _ = q.tries(first)
		entered, err := q.Enter(q.Context(), first.ref, first.token, store.NewTurn("new", "a", "", 0))
		require.NoError(q, err)
		require.Equal(q, store.EnteredRuns, entered)
		require.Equal(q, []refcache.Ref{second.ref}, q.permits("old"))
		require.Equal(q, []refcache.Ref{first.ref}, q.permits("new"))
		require.Equal(q, []refcache.Ref{second.ref}, *rung)
	})
}

func TestSweepsMendGates(t *testing.T) {
	sweeps := func(q *queue) {
		q.Helper()
		_, err := q.SweepGates(q.Context(), q.name)
		require.NoError(q, err)
	}
	for name, c := range map[string]struct {
		breaks func(q *queue, first, second task)
		then   refcache.Status // of the second
	}{
		"the record of a permit is gone":        {func(q *queue, first, _ task) { q.rdb.Del(q.Context(), q.record(first.ref)) }, refcache.Pending},
		"nobody knows the function of a permit": {func(q *queue, _, _ task) { q.rdb.Del(q.Context(), q.key("knows:f@1")) }, refcache.Pending},
		"a line is gone":                        {func(q *queue, _, _ task) { q.rdb.Del(q.Context(), q.key("gate:g:w:a/")) }, refcache.Waiting},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				q.gate("g", store.GateNumbers{Each: 1})
				first, second := q.inLine("g", "a"), q.inLine("g", "a")
				c.breaks(q, first, second)
				sweeps(q)
				sweeps(q)
				q.is(c.then, second)
				if c.then == refcache.Waiting {
					first, _ = q.tries(first)
					q.finish(first.ref, first.token, q.Completed([]byte("1")))
					q.is(refcache.Pending, second)
				}
			})
		})
	}
}

func TestWhatWaitsForAGateThatLeftTheCodeRunsWithoutOne(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		k := q.inLine("g", "a")
		q.works("w1", `"f@1"`)
		_, err := q.SweepGates(q.Context(), q.name)
		require.NoError(q, err)
		q.is(refcache.Pending, k)
		require.NotContains(q, q.hash(k.ref), "turn")
		require.NotContains(q, q.hash(k.ref), "v")
		require.Equal(q, []refcache.Ref{k.ref}, *rung)
		_, runs := q.tries(k)
		require.True(q, runs)
	})
}

func TestACallThatNobodyKnowsDoesNotShutItsGate(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		q.gate("g", store.GateNumbers{Each: 1})
		first, second := q.inLine("g", "a"), q.inLine("g", "a")
		q.rdb.Del(q.Context(), q.key("knows:f@1"))
		from := q.settable(first.ref)
		q.rdb.LPush(q.Context(), q.key("bells"), "id")
		from.Dequeue.Text = fmt.Sprintf("local id = redis.call('RPOP', %q) return id and {ARGV[1], KEYS[1], id}", q.key("bells"))
		taken, err := q.DequeueAndClaim(q.Context(), q.name, "t9", "w9", store.NewKnown([]string{"g@1"}), from)
		require.NoError(q, err)
		require.Nil(q, taken.Message)
		require.Equal(q, []refcache.Ref{second.ref}, *rung)
		require.Equal(q, []refcache.Ref{second.ref}, q.permits("g"))
	})
}

func TestWhereACallStandsIsTold(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1})
		q.inLine("g", "a.example")
		q.inLine("g", "a.example")
		third := q.inLine("g", "a.example")
		turn := q.info(third.ref).Turn
		require.NotNil(q, turn)
		require.Equal(q, refcache.TurnInfo{Gate: "g", Key: "a.example", Position: 2, Running: 1, Limit: 1, Reason: refcache.WaitsLimit}, *turn)
	})
}

func TestAPausedGateStartsNothing(t *testing.T) {
	key := "a"
	for name, p := range map[string]refcache.Pause{"gate": {Gate: "g"}, "key": {Gate: "g", Key: &key}} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				rung := q.letIn()
				q.gate("g", store.GateNumbers{Each: 1})
				first, other := q.inLine("g", "a"), q.inLine("g", "b")
				p := p // of this run alone
				p.By, p.Reason = "ann", "release"
				noted, found, err := q.PauseGate(q.Context(), q.name, p, 0)
				require.NoError(q, err)
				require.True(q, found)
				require.Equal(q, "ann", noted.By)
				_, runs := q.tries(first)
				require.False(q, runs)
				second := q.inLine("g", "a")
				q.is(refcache.Waiting, first, second)
				_, runs = q.tries(other)
				require.Equal(q, p.Key != nil, runs, "of another key")
				info := q.info(second.ref)
				require.Equal(q, refcache.WaitsPaused, info.Turn.Reason)
				require.Contains(q, info.Note, p.Target()+" of queue "+q.name+" is paused by ann")
				page, err := q.ReadAll(q.Context(), []store.Entry{{Ref: second.ref}, {Ref: other.ref}})
				require.NoError(q, err)
				require.Equal(q, info.Note, page[0].HeldUp.String())
				require.Equal(q, info.Paused, page[0].HeldUp.Paused)
				require.Equal(q, p.Key == nil, page[1].HeldUp.Paused != nil, "of another key")
				require.Equal(q, info.Paused, second.seen.HeldUp.Paused, "told to who made it")
				again := q.submit(second.ref, q.inTurn("g", "a"))
				require.Equal(q, info.Paused, again.HeldUp.Paused, "told to who joins it")
				pauses, err := q.Pauses(q.Context(), q.name)
				require.NoError(q, err)
				require.Len(q, pauses, 1)
				require.Equal(q, p.Target()+" of queue "+q.name, pauses[0].Target())

				was, _, err := q.ResumeGate(q.Context(), q.name, p)
				require.NoError(q, err)
				require.True(q, was)
				require.Contains(q, *rung, first.ref)
				q.is(refcache.Pending, first)
				was, _, err = q.ResumeGate(q.Context(), q.name, p)
				require.NoError(q, err)
				require.False(q, was)
			})
		})
	}
}

func TestThePauseOfAGateEndsByItself(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		q.gate("g", store.GateNumbers{Each: 1})
		_, _, err := q.PauseGate(q.Context(), q.name, refcache.Pause{Gate: "g", By: "ann"}, time.Hour)
		require.NoError(q, err)
		k := q.inLine("g", "a")
		q.rdb.HSet(q.Context(), q.key("gate:g"), "paused_until", q.ago(time.Second))
		_, err = q.SweepGates(q.Context(), q.name)
		require.NoError(q, err)
		require.Equal(q, []refcache.Ref{k.ref}, *rung)
	})
}

func TestNoGateThatIsNotThereIsPaused(t *testing.T) {
	onBoth(t, func(q *queue) {
		_, found, err := q.PauseGate(q.Context(), q.name, refcache.Pause{Gate: "g", By: "ann"}, 0)
		require.NoError(q, err)
		require.False(q, found)
		_, found, err = q.ResumeGate(q.Context(), q.name, refcache.Pause{Gate: "g"})
		require.NoError(q, err)
		require.False(q, found)
		require.Empty(q, q.dump())
	})
}
