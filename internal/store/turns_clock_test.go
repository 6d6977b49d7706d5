package store_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// A clock that is set back by an hour holds nobody up for an hour.
func TestWhoWaitsStartsThoughTheClockIsSetBack(t *testing.T) {
	for name, c := range map[string]struct {
		numbers store.GateNumbers
		ticks   int                                         // until it starts: a rate needs its time besides, and what is closed is closed anew
		waits   func(q *queue) (waiting task, frees func()) // frees is what has to happen besides; nil: only time
	}{
		"for a rate": {store.GateNumbers{All: store.AllSlots, Interval: time.Second, Burst: 1}, 2, func(q *queue) (task, func()) {
			q.inLine("g", "a")
			return q.inLine("g", "a"), nil
		}},
		"for a rate of bursts": {store.GateNumbers{All: store.AllSlots, Interval: time.Second, Burst: 2}, 2, func(q *queue) (task, func()) {
			q.inLine("g", "a")
			q.inLine("g", "a")
			return q.inLine("g", "a"), nil
		}},
		"for a closed key": {store.GateNumbers{Each: 2}, 2, func(q *queue) (task, func()) {
			k, _ := q.tries(q.inLine("g", "a"))
			q.finish(k.ref, k.token, store.UnavailableFor("429: slow down", time.Second, "w1"))
			return k, nil
		}},
		"for a key that is closed again": {store.GateNumbers{Each: 2}, 2, func(q *queue) (task, func()) {
			k, _ := q.tries(q.inLine("g", "a"))
			q.finish(k.ref, k.token, store.UnavailableFor("429: slow down", time.Second, "w1"))
			time.Sleep(2 * time.Hour)
			q.tick()
			k, runs := q.tries(k)
			require.True(q, runs)
			q.finish(k.ref, k.token, store.UnavailableFor("429: slow down", time.Second, "w1"))
			return k, nil
		}},
		"ready, for a place in the gate": {store.GateNumbers{All: 1}, 1, func(q *queue) (task, func()) {
			k, _ := q.tries(q.inLine("g", "a"))
			return q.inLine("g", "b"), func() { q.finish(k.ref, k.token, q.Completed([]byte("1"))) }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q, server := bubble(t)
				q.gate("g", c.numbers)
				q.tick()
				k, frees := c.waits(q)
				q.is(refcache.Waiting, k)
				server.StepClock(-time.Hour)
				if frees != nil {
					frees()
				}
				for range c.ticks {
					q.tick()
				}
				q.is(refcache.Pending, k)
				_, runs := q.tries(k)
				require.True(q, runs)
			})
		})
	}
}

// Sweeps try only so many keys at a time.
func TestManyKeysStartThoughTheClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, server := bubble(t)
		q.gate("g", store.GateNumbers{All: 1000, Interval: time.Second, Burst: 1})
		q.tick()
		var all []task
		for n := range 250 {
			key := string(rune('a'+n%26)) + string(rune('a'+n/26))
			q.inLine("g", key)
			all = append(all, q.inLine("g", key))
		}
		q.is(refcache.Waiting, all...)
		server.StepClock(-time.Hour)
		for range 5 {
			q.tick()
		}
		q.is(refcache.Pending, all...)
	})
}

// tick is a second, at whose end the queue is swept, as workers do.
func (q *queue) tick() {
	q.Helper()
	time.Sleep(time.Second)
	_, err := q.Sweep(q.Context(), q.name, 1000, true, "", "w1")
	require.NoError(q, err)
	_, err = q.SweepGates(q.Context(), q.name)
	require.NoError(q, err)
}
