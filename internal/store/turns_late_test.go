package store_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// heldUp lets a call of key a into gate g, whatever the rate says, and has no worker had time for it since.
func (q *queue) heldUp(ago time.Duration) task {
	q.Helper()
	q.rdb.HSet(q.Context(), q.key("gate:g:k:a"), "tat", 0)
	k := q.inLine("g", "a")
	q.is(refcache.Pending, k)
	q.rdb.ZAdd(q.Context(), q.key("gate:g:held"),
		redis.Z{Score: float64(q.now().Add(-ago).UnixMilli()), Member: k.ref.Hash() + "a"})
	return k
}

func (q *queue) hourlyGate() {
	q.gate("g", store.GateNumbers{All: 10, Interval: time.Hour, Burst: 1})
}

// Its start was counted when it was let in: else a queue that is always behind would never run it.
func TestACallThatWasHeldUpAloneRuns(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.hourlyGate()
		_, runs := q.tries(q.heldUp(2 * time.Second))
		require.True(q, runs)
	})
}

func TestCallsThatWereHeldUpDoNotBunch(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.hourlyGate()
		first, second, third := q.heldUp(2*time.Second), q.heldUp(2*time.Second), q.heldUp(2*time.Second)
		_, runs := q.tries(first)
		require.True(q, runs)
		for range 2 {
			answer := q.claim(second.ref, "t", "w1")
			require.False(q, answer.Run)
			require.InDelta(q, time.Hour, answer.Later, float64(time.Minute))
		}
		q.is(refcache.Pending, second, third)
		require.Contains(q, q.permits("g"), second.ref, "it keeps its place")

		q.rdb.HSet(q.Context(), q.key("gate:g:k:a"), "ran", q.now().Add(-time.Second).UnixMicro())
		_, runs = q.tries(second)
		require.True(q, runs)
		_, runs = q.tries(third)
		require.False(q, runs)
	})
}

// Another start is given up for it, once: the two together are not more than the rate.
func TestForACallThatWasHeldUpFewerFollow(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{All: 10, Interval: time.Hour, Burst: 3})
		first, second := q.heldUp(2*time.Second), q.heldUp(2*time.Second)
		q.rdb.HSet(q.Context(), q.key("gate:g:k:a"), "tat", 0, "ran", q.now().Add(3*time.Hour).UnixMicro())
		for range 3 {
			_, runs := q.tries(second)
			require.False(q, runs)
		}
		_, runs := q.tries(first)
		require.False(q, runs)
		q.is(refcache.Pending, q.inLine("g", "a"))
		q.is(refcache.Waiting, q.inLine("g", "a"))
	})
}

// One that comes on time is counted, for those that do not.
func TestCallsOnTimeCountForThoseHeldUp(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.hourlyGate()
		late, onTime := q.heldUp(2*time.Second), q.heldUp(0)
		_, runs := q.tries(onTime)
		require.True(q, runs)
		_, runs = q.tries(late)
		require.False(q, runs)
	})
}

// What is known of the key of a call that is claimed late stays while others wait for it.
func TestTheRoundOfAKeyOutlivesALateClaim(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{All: 1, Interval: time.Millisecond, Burst: 1})
		k := q.heldUp(2 * time.Second)
		q.inLine("g", "a")
		_, runs := q.tries(k)
		require.True(q, runs)
		require.Negative(q, q.rdb.PTTL(q.Context(), q.key("gate:g:k:a")).Val())
	})
}
