package admin_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	kit "github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// byHost is a function whose calls take turns by their argument.
func byHost(g refcache.Gate) refcache.Func[string, string] {
	return refcache.Func[string, string]{Name: "fetch", Queue: "media", AsyncTimeout: time.Minute, Gate: g,
		Turn: func(host string) refcache.Turn { return refcache.Turn{Key: host[:1]} }}
}

var perHost = refcache.Gate{Name: "hosts", Each: 1}

// fetching runs a worker that never ends a call of byHost.
func (w *office) fetching(g refcache.Gate) {
	w.Work(kit.Handles(byHost(g), func(ctx context.Context, _ string) (string, error) {
		<-ctx.Done()
		return "", context.Cause(ctx)
	}))
	time.Sleep(time.Second)
}

func (w *office) gate() monitor.GateState {
	w.Helper()
	gates, err := w.A.Gates(w.Context())
	require.NoError(w, err)
	require.Len(w, gates, 1)
	page, err := w.A.Gate(w.Context(), gates[0].Queue, gates[0].Name, "", 1)
	require.NoError(w, err)
	require.Equal(w, gates[0], page.Gate)
	return gates[0]
}

func TestGatesAreToldOfAllQueues(t *testing.T) {
	inOffice(t, func(w *office) {
		gates, err := w.A.Gates(w.Context())
		require.NoError(w, err)
		require.Empty(w, gates)

		w.fetching(perHost)
		for n := range 3 {
			w.Submit(byHost(perHost), fmt.Sprint("a", n))
		}
		time.Sleep(time.Minute)
		g := w.gate()
		require.Equal(w, perHost, g.Numbers)
		require.Equal(w, perHost, g.Declared.Numbers)
		require.Equal(w, []any{"media", "hosts", 1, 2, 1}, []any{g.Queue, g.Name, g.Running, g.Waiting, g.Keys})
		require.Equal(w, time.Minute, g.Oldest.Round(time.Second))
		require.False(w, g.Undeclared)
		require.Empty(w, g.Differing)

		for queues, want := range map[string]int{"default": 0, "media": 1} {
			gates, err = w.A.Gates(w.Context(), queues)
			require.NoError(w, err)
			require.Len(w, gates, want)
		}
		_, err = w.A.Gates(w.Context(), "a/b")
		require.ErrorContains(w, err, "a/b")
	})
}

func TestAQueueWithoutGatesCostsOneCommandALook(t *testing.T) {
	inOffice(t, func(w *office) {
		_, err := w.A.Gates(w.Context(), "media") // which loads the script
		require.NoError(w, err)
		sent := 0
		w.Server.SetFaults(func([]string) memredis.Fault {
			sent++
			return memredis.Pass
		})
		_, err = w.A.Gates(w.Context(), "media")
		require.NoError(w, err)
		require.Equal(w, 1, sent)
	})
}

func TestAnOperatorSetsAGateAndResetsIt(t *testing.T) {
	inOffice(t, func(w *office) {
		w.fetching(perHost)
		first, second := w.Submit(byHost(perHost), "a1"), w.Submit(byHost(perHost), "a2")
		w.Until(first, refcache.Processing)
		w.Until(second, refcache.Waiting)

		require.NoError(w, w.A.SetGate(w.Context(), "media", "hosts", monitor.GateSetting{Each: new(5), Rate: &refcache.Rate{N: 500}}, time.Hour))
		time.Sleep(time.Second)
		w.Until(second, refcache.Processing)
		g := w.gate()
		require.Equal(w, refcache.Gate{Name: "hosts", Each: 5, All: refcache.Slots, Rate: refcache.Rate{N: 500, Per: time.Second, Burst: 5}}, g.Numbers)
		require.Equal(w, "ann@desk", g.Set.By)
		require.Equal(w, time.Hour, g.Set.Until.Sub(g.Set.At))
		require.Equal(w, "[{each 5 1} {all slots } {rate 500/s, burst 5 no limit} {most waiting no limit }]", fmt.Sprint(g.Limits()))

		require.NoError(w, w.A.SetGate(w.Context(), "media", "hosts", monitor.GateSetting{MostWaiting: new(7)}, 0))
		g = w.gate()
		require.Equal(w, refcache.Gate{Name: "hosts", Each: 1, MostWaiting: 7}, g.Numbers, "what is left out is as declared")
		require.Nil(w, g.Set.Until)
		require.NoError(w, w.A.ResetGate(w.Context(), "media", "hosts"))
		require.Nil(w, w.gate().Set)
		require.Equal(w, 2, w.gate().Running)
	})
}

func TestASettingEndsByItself(t *testing.T) {
	inOffice(t, func(w *office) {
		w.fetching(perHost)
		require.NoError(w, w.A.SetGate(w.Context(), "media", "hosts", monitor.GateSetting{Each: new(0)}, time.Minute))
		time.Sleep(59 * time.Second)
		require.Zero(w, w.gate().Numbers.Each)
		time.Sleep(2 * time.Second)
		require.Equal(w, perHost, w.gate().Numbers)
		require.Nil(w, w.gate().Set)
	})
}

func TestSettingsThatCannotBeAreRefused(t *testing.T) {
	inOffice(t, func(w *office) {
		w.fetching(perHost)
		type rate = refcache.Rate
		for want, set := range map[string]monitor.GateSetting{
			"nothing is set: name each, all, rate or most_waiting, or reset it": {},
			"each is -1, must be 0 or more":                                     {Each: new(-1)},
			"all is -2, must be 0 (no limit) or more, or -1 for slots":          {All: new(-2)},
			"most_waiting is -7, must be 0 or more":                             {MostWaiting: new(-7)},
			"burst is 3, must stand beside a rate":                              {Rate: &rate{Burst: 3}},
			"rate is 10001 in 1s, must be at most 10000 in 1s":                  {Rate: &rate{N: 10_001}},
			"rate is -1, must be 0 or more":                                     {Rate: &rate{N: -1}},
		} {
			err := w.A.SetGate(w.Context(), "media", "hosts", set, 0)
			require.ErrorIs(w, err, admin.ErrInvalidSetting)
			require.ErrorContains(w, err, want)
			require.ErrorContains(w, err, "gate hosts: ")
		}
		require.ErrorContains(w, w.A.SetGate(w.Context(), "media", "hosts", monitor.GateSetting{Each: new(1)}, -time.Second), "for is -1s, must be 0")
		require.ErrorContains(w, w.A.SetGate(w.Context(), "a/b", "hosts", monitor.GateSetting{Each: new(1)}, 0), "a/b")
		require.Nil(w, w.gate().Set)
	})
}

func TestAnUnknownGateIsAnErrorThatNamesTheKnownOnes(t *testing.T) {
	inOffice(t, func(w *office) {
		w.fetching(perHost)
		for queue, there := range map[string]string{"media": "has hosts", "default": "has no gate"} {
			for _, err := range []error{
				w.A.SetGate(w.Context(), queue, "horses", monitor.GateSetting{Each: new(1)}, 0),
				w.A.ResetGate(w.Context(), queue, "horses"),
				func() error { _, err := w.A.Gate(w.Context(), queue, "horses", "", 10); return err }(),
			} {
				require.ErrorIs(w, err, admin.ErrNoGate)
				require.EqualError(w, err, `no such gate: "horses": queue `+queue+" "+there)
			}
		}
	})
}

func TestKeysOfAGateAreToldByThePage(t *testing.T) {
	inOffice(t, func(w *office) {
		w.fetching(perHost)
		for _, in := range []string{"a1", "a2", "a3", "b1", "b2", "c1", "d1"} {
			w.Submit(byHost(perHost), in)
		}
		time.Sleep(time.Second)
		var all []string
		next, pages := admin.Cursor(""), 0
		for pages == 0 || next != "" {
			page, err := w.A.Gate(w.Context(), "media", "hosts", next, 2)
			require.NoError(w, err)
			require.LessOrEqual(w, len(page.Keys), 2)
			for _, k := range page.Keys {
				all = append(all, fmt.Sprint(k.Key, k.Running, k.Waiting))
			}
			next = page.Next
			pages++
		}
		require.Equal(w, []string{"a1 2", "b1 1", "c1 0", "d1 0"}, all)
		require.Equal(w, 2, pages)
		_, err := w.A.Gate(w.Context(), "media", "hosts", "x", 2)
		require.ErrorIs(w, err, admin.ErrInvalidCursor)
	})
}

func TestGatesThatNoLivingWorkerDeclaresAndThoseThatDifferAreTold(t *testing.T) {
	inOffice(t, func(w *office) {
		host := w.Start(worker.Config{}, kit.Handles(byHost(perHost), func(context.Context, string) (string, error) { return "", nil }))
		time.Sleep(time.Second)
		other := perHost
		other.Each = 9
		w.fetching(other)
		time.Sleep(10 * time.Second)
		g := w.gate()
		require.Equal(w, []refcache.Gate{perHost, other}, g.Differing)
		require.Equal(w, other, g.Declared.Numbers)

		host.Stop()
		time.Sleep(10 * time.Second)
		require.Empty(w, w.gate().Differing)
		require.False(w, w.gate().Undeclared)
	})
}

func TestAGateWithoutALivingWorkerIsTold(t *testing.T) {
	inOffice(t, func(w *office) {
		ends := kit.Handles(byHost(perHost), func(context.Context, string) (string, error) { return "", nil })
		host := w.Start(worker.Config{}, ends)
		time.Sleep(time.Second)
		host.Stop()
		time.Sleep(10 * time.Second)
		require.True(w, w.gate().Undeclared)
		w.Start(worker.Config{}, ends)
		time.Sleep(10 * time.Second)
		require.False(w, w.gate().Undeclared)
	})
}

func TestHealthTellsOfGates(t *testing.T) {
	inOffice(t, func(w *office) {
		require.Equal(w, "there are none", w.finding("gates").Fact)
		w.Submit(byHost(perHost), "a1")
		require.Equal(w, monitor.Finding{ID: "gates", Level: monitor.LevelWrong, Fact: "gate hosts of queue media was declared by no worker, and calls wait: 1",
			Remedy: "start a worker with a function of that gate, or cancel the calls"}, w.finding("gates"))
		w.fetching(perHost)
		w.Submit(byHost(perHost), "a2")
		time.Sleep(10 * time.Minute)
		require.Equal(w, monitor.LevelOK, w.finding("gates").Level, "there is no room")
		require.Equal(w, "hosts", w.health().Gates[0].Name)
	})
}
