package monitor_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// maps is a gate of which nothing is to be said.
func maps() monitor.GateState {
	numbers := refcache.Gate{Name: "maps", Each: 5}
	return monitor.GateState{Queue: "media", Name: "maps", Numbers: numbers, Running: 3, Waiting: 2, Keys: 1, Oldest: time.Hour,
		Declared: &monitor.GateDeclared{Numbers: numbers, By: "w1", At: time.UnixMilli(1_764_000_000_000)}}
}

func TestGatesAreJudged(t *testing.T) {
	t.Parallel()
	const (
		sweeps  = "look again in a minute; then look into the workers' logs: their sweeps let calls in"
		start   = "start a worker with a function of that gate, or cancel the calls"
		rollOut = "roll out the same numbers to all workers: those of the worker that was started last count"
		why     = "find out why what its calls need is unavailable"
	)
	for _, c := range []struct {
		fault        func(g *monitor.GateState)
		level        monitor.Level
		fact, remedy string
	}{
		{func(*monitor.GateState) {}, ok, "calls that wait for their turn: 2", ""},
		{func(g *monitor.GateState) { g.Waiting = 0 }, ok, "no call waits for its turn", ""},
		{func(g *monitor.GateState) { g.Stalled = 5 * time.Minute }, ok, "calls that wait for their turn: 2", ""},
		{func(g *monitor.GateState) { g.Stalled = 6 * time.Minute }, warning, "gate maps of queue media has room, and a call has waited for 6m0s", sweeps},
		{func(g *monitor.GateState) { g.Undeclared = true }, warning, "gate maps of queue media is declared by no living worker, and calls wait: 2", start},
		{func(g *monitor.GateState) { g.Undeclared, g.Waiting = true, 0 }, ok, "no call waits for its turn", ""},
		{func(g *monitor.GateState) { g.Undeclared, g.Declared = true, nil }, wrong, "gate maps of queue media was declared by no worker, and calls wait: 2", start},
		{func(g *monitor.GateState) { g.Closed = new(59 * time.Minute) }, ok, "calls that wait for their turn: 2", ""},
		{func(g *monitor.GateState) { g.ClosedKey, g.Closed = "a%2Fb", new(61*time.Minute) }, warning,
			`gate maps of queue media has key "a%2Fb" closed for 1h1m0s`, why},
		{func(g *monitor.GateState) {
			g.Differing = []refcache.Gate{{Each: 5, Rate: refcache.Rate{N: 20, Per: time.Second}}, {All: refcache.Slots, MostWaiting: 3}, {}}
		}, warning, "gate maps of queue media is declared differently by living workers: each 5, rate 20/s, and all slots, most waiting 3, and no limit", rollOut},
		{func(g *monitor.GateState) { g.Closed, g.Declared = new(2*time.Hour), nil }, wrong,
			`gate maps of queue media was declared by no worker, and calls wait: 2; gate maps of queue media has key "" closed for 2h0m0s`, start + "; " + why},
	} {
		h, g := healthy(), maps()
		c.fault(&g)
		h.Gates = []monitor.GateState{g}
		require.Equal(t, monitor.Finding{ID: "gates", Level: c.level, Fact: c.fact, Remedy: c.remedy}, finding(t, h, "gates"))
	}
	h := healthy()
	require.Equal(t, "there are none", finding(t, h, "gates").Fact)
	for n := range 7 {
		g := maps()
		g.Name, g.Undeclared = fmt.Sprint("g", n), true
		h.Gates = append(h.Gates, g)
	}
	require.Contains(t, finding(t, h, "gates").Fact, "gate g4 of queue media is declared by no living worker, and calls wait: 2; 2 more")
	h.Blind = "NOPERM"
	require.Equal(t, unknown, finding(t, h, "gates").Level)
}

func TestGatesAsJSONHaveZeroForNoLimitAndNullForAsDeclared(t *testing.T) {
	t.Parallel()
	g := maps()
	g.Numbers.All, g.Numbers.Rate = refcache.Slots, refcache.Rate{N: 20, Per: time.Second, Burst: 2}
	g.Set = &monitor.GateSet{GateSetting: monitor.GateSetting{All: new(refcache.Slots), Rate: &g.Numbers.Rate}, By: "ann", At: time.UnixMilli(1_764_000_060_000)}
	g.Paused = &refcache.Pause{Queue: "media", Gate: "maps", By: "bob", Until: new(time.UnixMilli(1_764_000_060_000))}
	g.Closed = new(90 * time.Second)
	text, err := json.Marshal(g)
	require.NoError(t, err)
	require.JSONEq(t, `{"queue":"media","gate":"maps","numbers":{"each":5,"all":"slots","rate":"20/s","burst":2,"most_waiting":0},
		"declared":{"each":5,"all":0,"rate":"0","burst":0,"most_waiting":0,"by":"w1","at":"2025-11-24T16:00:00.000Z"},
		"set":{"each":null,"all":"slots","rate":"20/s","burst":2,"most_waiting":null,"by":"ann","at":"2025-11-24T16:01:00.000Z","until":null},
		"paused":{"queue":"media","func":null,"gate":"maps","key":null,"by":"bob","at":null,"until":"2025-11-24T16:01:00.000Z","reason":null},"running":3,"limit":0,"waiting":2,"keys":1,"partial":false,
		"oldest_seconds":3600,"stalled_seconds":null,"closed_key":"","closed_seconds":90,"undeclared":false,"differing":[]}`, string(text))
	text, err = json.Marshal(monitor.GateKey{Key: "a", Waiting: 1, Oldest: time.Second, Reason: refcache.WaitsLimit,
		Unserved: refcache.UnservedQueue, Message: "no living worker serves queue media"})
	require.NoError(t, err)
	require.JSONEq(t, `{"key":"a","running":0,"waiting":1,"oldest_seconds":1,"reason":"limit","next_start_at":null,"closed_until":null,"closed_at":null,"paused":null,
		"unserved":"queue","message":"no living worker serves queue media"}`,
		string(text))
}

func TestAKeyHasRoomBelowBothLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		each, limit, ofKey, ofAll int
		room                      bool
	}{{0, 0, 9, 9, true}, {1, 0, 0, 9, true}, {1, 0, 1, 1, false}, {0, 13, 1, 1, true}, {0, 13, 1, 13, false}, {2, 3, 1, 3, false}, {2, 3, 1, 2, true}} {
		g := monitor.GateState{Numbers: refcache.Gate{Each: c.each}, Limit: c.limit, Running: c.ofAll}
		require.Equal(t, c.room, g.HasRoom(monitor.GateKey{Running: c.ofKey}), c)
	}
}
