package store_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// look is how a gate stands, as it is told alone; among all it must be told the same.
func (q *queue) look(gate string) monitor.GateState {
	q.Helper()
	one, _, known, err := q.Gate(q.Context(), q.name, gate, nil, 1)
	require.NoError(q, err)
	require.True(q, known)
	all, err := q.Gates(q.Context(), q.name)
	require.NoError(q, err)
	for _, g := range all {
		if g.Name == gate {
			require.InDelta(q, g.Oldest, one.Oldest, float64(soon))
			require.InDelta(q, g.Stalled, one.Stalled, float64(soon))
			g.Oldest, g.Stalled = one.Oldest, one.Stalled
			if g.Closed != nil {
				require.InDelta(q, *g.Closed, *one.Closed, float64(soon))
				g.Closed = one.Closed
			}
			require.Equal(q, g, one)
			return one
		}
	}
	require.FailNow(q, "no such gate among all", gate)
	panic("unreachable")
}

func (q *queue) sets(gate string, set monitor.GateSetting, d time.Duration) {
	q.Helper()
	known, err := q.SetGate(q.Context(), q.name, gate, set, d, "ann@desk")
	require.NoError(q, err)
	require.True(q, known)
}

func TestWhatAnOperatorSetsCountsInPlaceOfWhatIsDeclared(t *testing.T) {
	onBoth(t, func(q *queue) {
		rung := q.letIn()
		q.gate("g", store.GateNumbers{Each: 1, MostWaiting: 9})
		first, second, third := q.inLine("g", "a"), q.inLine("g", "a"), q.inLine("g", "a")
		q.sets("g", monitor.GateSetting{Each: new(2)}, 0)
		q.is(refcache.Pending, first, second)
		q.is(refcache.Waiting, third)
		require.Equal(q, []refcache.Ref{second.ref}, *rung)

		g := q.look("g")
		require.Equal(q, refcache.Gate{Name: "g", Each: 2, MostWaiting: 9}, g.Numbers)
		require.Equal(q, refcache.Gate{Name: "g", Each: 1, MostWaiting: 9}, g.Declared.Numbers)
		require.Equal(q, monitor.GateDeclared{Numbers: g.Declared.Numbers, By: "w1", At: time.UnixMilli(5)}, *g.Declared)
		require.WithinDuration(q, q.now(), g.Set.At, soon)
		require.Equal(q, monitor.GateSet{GateSetting: monitor.GateSetting{Each: new(2)}, By: "ann@desk", At: g.Set.At}, *g.Set)
		require.Equal(q, []int{2, 1, 1}, []int{g.Running, g.Waiting, g.Keys})
		require.Zero(q, g.Limit)
		require.False(q, g.Partial)

		known, err := q.ResetGate(q.Context(), q.name, "g")
		require.NoError(q, err)
		require.True(q, known)
		g = q.look("g")
		require.Nil(q, g.Set)
		require.Equal(q, 1, g.Numbers.Each)
		require.Equal(q, 2, g.Running, "what runs goes on")
		first, _ = q.tries(first)
		q.finish(first.ref, first.token, q.Completed([]byte("1")))
		q.is(refcache.Waiting, third)
	})
}

func TestASettingMayTakeALimitAwayAndLastForATime(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1, All: store.AllSlots, Interval: 50 * time.Millisecond, Burst: 3})
		q.sets("g", monitor.GateSetting{Each: new(0), All: new(20), Rate: new(refcache.Rate{}), MostWaiting: new(5)}, time.Hour)
		g := q.look("g")
		require.Equal(q, refcache.Gate{Name: "g", All: 20, MostWaiting: 5}, g.Numbers)
		require.Equal(q, refcache.Gate{Name: "g", Each: 1, All: refcache.Slots, Rate: refcache.Rate{N: 20, Per: time.Second, Burst: 3}}, g.Declared.Numbers)
		require.Equal(q, 20, g.Limit)
		require.WithinDuration(q, q.now().Add(time.Hour), *g.Set.Until, soon)
		require.Equal(q, new(refcache.Rate{}), g.Set.Rate)

		q.rdb.HSet(q.Context(), q.key("gate:g"), "set_until", q.ago(time.Second))
		g = q.look("g")
		require.Nil(q, g.Set)
		require.Equal(q, g.Declared.Numbers, g.Numbers)
	})
}

func TestARateWithoutALimitOfAllIsLimitedBySlots(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1})
		q.sets("g", monitor.GateSetting{Rate: &refcache.Rate{N: 7, Per: time.Second, Burst: 2}}, 0)
		g := q.look("g")
		require.Equal(q, refcache.Gate{Name: "g", Each: 1, All: refcache.Slots, Rate: refcache.Rate{N: 7, Per: time.Second, Burst: 2}}, g.Numbers)
		require.Equal(q, 4, g.Limit)
	})
}

func TestAnUnknownGateIsNotSet(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1})
		before := q.dump()
		for _, gate := range []string{"h", "", "g:held"} {
			known, err := q.SetGate(q.Context(), q.name, gate, monitor.GateSetting{Each: new(2)}, 0, "ann")
			require.NoError(q, err)
			require.False(q, known)
			_, _, known, err = q.Gate(q.Context(), q.name, gate, nil, 10)
			require.NoError(q, err)
			require.False(q, known)
		}
		known, err := q.ResetGate(q.Context(), q.name, "h")
		require.NoError(q, err)
		require.False(q, known)
		require.Equal(q, before, q.dump())
	})
}

func TestWhoLooksAtGatesChangesNothing(t *testing.T) {
	onBoth(t, func(q *queue) {
		gates, err := q.Gates(q.Context(), q.name)
		require.NoError(q, err)
		require.Empty(q, gates)
		q.gate("g", store.GateNumbers{Each: 1, Interval: time.Hour, Burst: 1})
		q.inLine("g", "a")
		q.inLine("g", "a")
		q.rdb.HSet(q.Context(), q.key("gate:g:k:a"), "closed_until", q.ago(time.Hour), "closed_at", q.ago(time.Hour), "tat", 1) // it has room that nobody has used
		before := q.dump()
		q.look("g")
		require.Equal(q, before, q.dump())
	})
}

func TestKeysAreToldByThePageMostWaitingFirst(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1})
		for _, made := range []struct {
			key   string
			calls int
		}{{"busy/1", 5}, {"a", 4}, {"b", 3}, {"c", 2}, {"d", 2}, {"also alone", 1}, {"", 1}, {"alone", 1}} {
			for range made.calls {
				q.inLine("g", made.key)
			}
		}
		var all []string
		var from *store.KeyPosition
		for range 10 {
			_, keys, known, err := q.Gate(q.Context(), q.name, "g", from, 2)
			require.NoError(q, err)
			require.True(q, known)
			for _, k := range keys {
				all = append(all, fmt.Sprintf("%s %d %d", k.Key, k.Running, k.Waiting))
				require.Equal(q, k.Waiting > 0, k.Reason == refcache.WaitsLimit)
				from = &store.KeyPosition{Key: k.Key, Waiting: k.Waiting}
			}
		}
		require.Equal(q, []string{"busy/1 1 4", "a 1 3", "b 1 2", "d 1 1", "c 1 1", " 1 0", "alone 1 0", "also alone 1 0"}, all)
	})
}

func TestAPauseIsToldWhereItIs(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1})
		q.inLine("g", "a")
		require.Nil(q, q.look("g").Paused)
		key := "a"
		_, _, err := q.PauseGate(q.Context(), q.name, refcache.Pause{Gate: "g", By: "ann", Reason: "the shop is closed"}, 0)
		require.NoError(q, err)
		noted, _, err := q.PauseGate(q.Context(), q.name, refcache.Pause{Gate: "g", Key: &key, By: "bob"}, time.Hour)
		require.NoError(q, err)
		g, keys, _, err := q.Gate(q.Context(), q.name, "g", nil, 10)
		require.NoError(q, err)
		require.Equal(q, &refcache.Pause{Queue: q.name, Gate: "g", By: "ann", At: g.Paused.At, Reason: "the shop is closed"}, g.Paused)
		require.Equal(q, &noted, keys[0].Paused)

		q.rdb.HSet(q.Context(), q.key("gate:g"), "paused_until", q.ago(time.Second))
		q.rdb.HSet(q.Context(), q.key("gate:g:k:a"), "paused_until", q.ago(time.Second))
		g, keys, _, err = q.Gate(q.Context(), q.name, "g", nil, 10)
		require.NoError(q, err)
		require.Nil(q, g.Paused)
		require.Nil(q, keys[0].Paused)
	})
}

// waited has a call have waited for d.
func (q *queue) waited(k task, d time.Duration) {
	q.Helper()
	q.set(k.ref, "updated_at", q.ago(d))
}

func TestHowLongCallsWaitIsToldAndWhetherTheyCouldStart(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1})
		running, waiting := q.inLine("g", "a"), q.inLine("g", "a")
		q.waited(waiting, time.Hour)
		g := q.look("g")
		require.InDelta(q, time.Hour, g.Oldest, float64(soon))
		require.Zero(q, g.Stalled)

		q.rdb.ZRem(q.Context(), q.key("gate:g:held"), running.ref.Hash()+"a")
		q.rdb.SRem(q.Context(), q.key("gate:g:held:a"), running.ref.Hash())
		require.InDelta(q, time.Hour, q.look("g").Stalled, float64(soon))

		// What time has just freed was not forgotten.
		for ago, stalled := range map[time.Duration]bool{0: false, time.Hour: true} {
			q.rdb.HSet(q.Context(), q.key("gate:g:k:a"), "closed_until", q.ago(ago), "closed_at", q.ago(2*time.Hour))
			g = q.look("g")
			require.Equal(q, stalled, g.Stalled > 0)
			require.Equal(q, "a", g.ClosedKey)
			require.InDelta(q, 2*time.Hour, *g.Closed, float64(soon))
		}
		q.rdb.HSet(q.Context(), q.key("gate:g"), "paused_until", "")
		require.Zero(q, q.look("g").Stalled)
	})
}

func TestWhereTimeHoldsAKeyUpItTellsWhen(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 5})
		first := q.inLine("g", "a")
		q.inLine("g", "b")
		first, _ = q.tries(first)
		since := ""
		for range 2 {
			q.finish(first.ref, first.token, store.UnavailableFor("429", time.Hour, "w1"))
			_, keys, _, err := q.Gate(q.Context(), q.name, "g", nil, 10)
			require.NoError(q, err)
			k := keys[0]
			require.Equal(q, refcache.WaitsUnavailable, k.Reason)
			require.WithinDuration(q, q.now().Add(time.Hour), *k.ClosedUntil, soon)
			require.True(q, k.ClosedUntil.Equal(*k.NextStartAt))
			require.WithinDuration(q, q.now(), *k.ClosedAt, soon)
			if since != "" {
				require.Equal(q, since, strconv.FormatInt(k.ClosedAt.UnixMilli(), 10), "it has been closed since the first time")
			}
			require.Nil(q, keys[1].ClosedUntil)
			require.Empty(q, keys[1].Reason)

			// When the time is over it goes alone.
			since = strconv.FormatInt(k.ClosedAt.UnixMilli()-1000, 10)
			q.rdb.HSet(q.Context(), q.key("gate:g:k:a"), "closed_until", q.ago(time.Second), "closed_at", since)
			q.score("due", "turn:g/a", q.now())
			_, err = q.LetInDue(q.Context(), q.name)
			require.NoError(q, err)
			first, _ = q.tries(first)
		}
		q.finish(first.ref, first.token, q.Completed([]byte("1")))
		require.Zero(q, q.rdb.Exists(q.Context(), q.key("gate:g:k:a")).Val())
	})
}

func TestAGateThatNobodyHasDeclaredIsTold(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.inLine("g", "a")
		g := q.look("g")
		require.Nil(q, g.Declared)
		require.Equal(q, 1, g.Waiting)
		q.sets("g", monitor.GateSetting{Each: new(2)}, 0)
		require.Equal(q, 1, q.look("g").Waiting, "numbers alone open no gate")
		q.gate("g", store.GateNumbers{Each: 1})
		require.Equal(q, 2, q.look("g").Numbers.Each)
		require.Zero(q, q.look("g").Waiting)
	})
}

func TestMoreKeysThanAreAddedUpAreTold(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1})
		pipe := q.rdb.Pipeline()
		for i := range 10_050 {
			pipe.Do(q.Context(), "ZADD", q.key("gate:g:waits"), 2, fmt.Sprint("k", i))
		}
		_, err := pipe.Exec(q.Context())
		require.NoError(q, err)
		g := q.look("g")
		require.True(q, g.Partial)
		require.Equal(q, 10_050, g.Keys)
		require.Equal(q, 20_050, g.Waiting)
	})
}
