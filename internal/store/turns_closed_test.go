package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// closes makes a call of key a of gate g, whose attempt finds the key's service unavailable for a time.
func (q *queue) closes(d time.Duration) task {
	q.Helper()
	k, runs := q.tries(q.inLine("g", "a"))
	require.True(q, runs)
	q.finish(k.ref, k.token, store.UnavailableFor("429", d, "w1"))
	return k
}

func (q *queue) pairs() { q.gate("g", store.GateNumbers{Each: 2}) }

// letInDue lets in what time frees, as if a closing of key a that long ago had begun so much earlier.
func (q *queue) letInDue() {
	q.Helper()
	q.rdb.HSet(q.Context(), q.key("gate:g:k:a"), "closed_until", q.ago(time.Second))
	q.score("due", "turn:g/a", q.now())
	_, err := q.LetInDue(q.Context(), q.name)
	require.NoError(q, err)
}

func TestACallThatWasUnderWayOpensNoKey(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.pairs()
		other, _ := q.tries(q.inLine("g", "a"))
		k := q.closes(time.Hour)
		q.finish(other.ref, other.token, q.Completed([]byte("1")))
		q.is(refcache.Waiting, k)

		q.letInDue()
		k, runs := q.tries(k)
		require.True(q, runs)
		next := q.inLine("g", "a")
		q.is(refcache.Waiting, next)
		q.finish(k.ref, k.token, q.Completed([]byte("1")))
		q.is(refcache.Pending, next)
	})
}

func TestACallThatWasLetInBeforeTheClosingWaits(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.pairs()
		first := q.inLine("g", "a")
		other, _ := q.tries(q.inLine("g", "a"))
		q.finish(other.ref, other.token, store.UnavailableFor("429", time.Hour, "w1"))
		_, runs := q.tries(first)
		require.False(q, runs)
		q.is(refcache.Waiting, first, other)
		require.Empty(q, q.permits("g"))
	})
}

func TestAShorterClosingLeavesTheLonger(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.pairs()
		other, _ := q.tries(q.inLine("g", "a"))
		q.closes(time.Hour)
		q.finish(other.ref, other.token, store.UnavailableFor("429", time.Minute, "w1"))
		require.InDelta(q, time.Hour.Milliseconds(), q.closedFor("a"), 60_000)
	})
}

func (q *queue) closedFor(key string) int64 {
	until, err := q.rdb.HGet(q.Context(), q.key("gate:g:k:"+key), "closed_until").Int64()
	require.NoError(q, err)
	return until - q.now().UnixMilli()
}

func TestAKeyIsClosedForItsTimeWhenTheClockStepsBack(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.pairs()
		k := q.closes(time.Minute)
		q.rdb.HSet(q.Context(), q.key("gate:g:k:a"), "closed_until", q.now().Add(time.Hour).UnixMilli())
		q.rdb.HSet(q.Context(), q.key("sweep"), "gates_tick", q.now().Add(time.Hour).UnixMilli())
		_, err := q.SweepGates(q.Context(), q.name)
		require.NoError(q, err)
		require.InDelta(q, time.Minute.Milliseconds(), q.closedFor("a"), 10_000)
		q.letInDue()
		q.is(refcache.Pending, k)
	})
}

// The same for a rate.
func TestARateHoldsNothingUpForLongWhenTheClockStepsBack(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{All: 10, Interval: time.Minute, Burst: 1})
		k := q.inLine("g", "a")
		next := q.inLine("g", "a")
		q.is(refcache.Pending, k)
		q.rdb.HSet(q.Context(), q.key("gate:g:k:a"), "tat", q.now().Add(time.Hour).UnixMicro())
		q.rdb.HSet(q.Context(), q.key("sweep"), "gates_tick", q.now().Add(time.Hour).UnixMilli())
		_, err := q.SweepGates(q.Context(), q.name)
		require.NoError(q, err)
		q.is(refcache.Waiting, next)
		tat, err := q.rdb.HGet(q.Context(), q.key("gate:g:k:a"), "tat").Int64()
		require.NoError(q, err)
		require.InDelta(q, q.now().Add(time.Minute).UnixMicro(), tat, 10e6, "it is noted, or each look would put it off")
	})
}

func TestWhatIsKnownOfAKeyExpires(t *testing.T) {
	for name, test := range map[string]func(q *queue){
		"closed, and not called again": func(q *queue) {
			k := q.closes(time.Minute)
			_, _, err := q.Cancel(q.Context(), k.seen, "ann")
			require.NoError(q, err)
		},
		"paused for a time": func(q *queue) {
			_, _, err := q.PauseGate(q.Context(), q.name, refcache.Pause{Gate: "g", Key: new("a"), By: "ann"}, time.Minute)
			require.NoError(q, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				q.pairs()
				test(q)
				require.Greater(q, q.rdb.PTTL(q.Context(), q.key("gate:g:k:a")).Val(), 30*time.Second)
			})
		})
	}
}

// The result that is there answers, and is renewed another time.
func TestARenewalBehindForWhichNoRoomIsLeftIsNoError(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1, MostWaiting: 1})
		k, _ := q.tries(q.inLine("g", "a"))
		q.finish(k.ref, k.token, q.Completed([]byte("1")))
		q.set(k.ref, "started_at", q.ago(time.Minute))
		q.inLine("g", "a")
		q.inLine("g", "a")
		s := q.inTurn("g", "a")
		s.Fresh = time.Second
		got, err := q.Submit(q.Context(), k.ref, s)
		require.NoError(q, err)
		require.Equal(q, refcache.Complete, got.Status)
		require.JSONEq(q, "1", string(got.Result))

		s.MaxAge = time.Second
		_, err = q.Submit(q.Context(), k.ref, s)
		require.ErrorIs(q, err, refcache.ErrTooManyWaiting)
	})
}

func TestADamagedCallInLineHoldsUpNobody(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1})
		first, second, third := q.inLine("g", "a"), q.inLine("g", "a"), q.inLine("g", "a")
		first, _ = q.tries(first)
		q.set(second.ref, "created_at", "x")
		q.finish(first.ref, first.token, q.Completed([]byte("1")))
		q.is(refcache.Pending, third)
		_, err := q.SweepGates(q.Context(), q.name)
		require.NoError(q, err)
		require.NoError(q, q.rdb.ZScore(q.Context(), q.key("waiting"), second.ref.Hash()).Err(), "it stays listed")
	})
}

func TestAGateThatIsPausedIsNotForgotten(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.pairs()
		for _, ends := range []bool{false, true} {
			_, _, err := q.PauseGate(q.Context(), q.name, refcache.Pause{Gate: "g", By: "ann"}, time.Hour)
			require.NoError(q, err)
			if ends {
				q.rdb.HSet(q.Context(), q.key("gate:g"), "paused_until", q.ago(time.Second))
			}
			q.rdb.HSet(q.Context(), q.key("gate:g"), "seen", q.ago(8*24*time.Hour))
			_, err = q.SweepGates(q.Context(), q.name)
			require.NoError(q, err)
			require.Equal(q, !ends, q.rdb.Exists(q.Context(), q.key("gate:g")).Val() == 1)
			require.Equal(q, !ends, q.rdb.HExists(q.Context(), q.key("paused"), "g:g").Val())
		}
	})
}

func TestWhatAnOperatorSetForATimeIsDroppedWhenItIsOver(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.pairs()
		at := q.key("gate:g")
		q.rdb.HSet(q.Context(), at, "set", "1,,,,", "set_until", q.ago(time.Second), "set_by", "ann", "set_at", q.ago(time.Hour), "paused_until", q.ago(time.Second))
		_, err := q.SweepGates(q.Context(), q.name)
		require.NoError(q, err)
		require.Equal(q, []any{nil, nil, nil}, q.rdb.HMGet(q.Context(), at, "set", "set_until", "paused_until").Val())
	})
}
