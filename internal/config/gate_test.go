package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/refcache"
)

func TestEveryKeyOfAGateReachesItsField(t *testing.T) {
	t.Parallel()
	fs := functions(t, `
functions:
  geocode: {gate: maps, turn: {key: /host, share: [/tenant, /user], ahead: 30s}}
  route: {gate: maps}
  disk: {queue: q, gate: disk, turn: {ahead: 1.5}}
  none:
gates:
  maps: {each: 5, all: slots, rate: 20/s, burst: 20, most_waiting: 10000}
  disk: {each: 0, all: 3, most_waiting: 0}
  unused:
`)
	maps := refcache.Gate{Name: "maps", Each: 5, All: refcache.Slots, Rate: refcache.Rate{N: 20, Per: time.Second, Burst: 20}, MostWaiting: 10_000}
	require.Equal(t, maps, fs["geocode"].Func.Gate)
	require.Equal(t, refcache.TurnFields{Key: []string{"/host"}, Share: []string{"/tenant", "/user"}, Ahead: 30 * time.Second}, fs["geocode"].Func.TurnFields)
	require.Equal(t, maps, policy(t, fs["route"].Func).Gate)
	require.Zero(t, fs["route"].Func.TurnFields)
	require.Equal(t, refcache.Gate{Name: "disk", All: 3}, policy(t, fs["disk"].Func).Gate)
	require.Equal(t, 1500*time.Millisecond, fs["disk"].Func.TurnFields.Ahead)
	require.Zero(t, fs["none"].Func.Gate)
	require.Equal(t, maps, config.FuncOf(policy(t, fs["geocode"].Func)).Gate)
}

func TestRatesAreStartsInATime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]refcache.Rate{
		"20/s": {N: 20, Per: time.Second}, "100/m": {N: 100, Per: time.Minute}, "5/h": {N: 5, Per: time.Hour},
		"5/10s": {N: 5, Per: 10 * time.Second}, "10/ms": {N: 10, Per: time.Millisecond}, "1/24h0m0s": {N: 1, Per: 24 * time.Hour},
	} {
		rate := functions(t, "gates: {g: {rate: "+text+"}}\nfunctions: {f: {gate: g}}")["f"].Func.Gate.Rate
		require.Equal(t, want, rate)
		again := functions(t, "gates: {g: {rate: "+config.RateText(rate)+"}}\nfunctions: {f: {gate: g}}")["f"].Func.Gate.Rate
		require.Equal(t, want, again)
	}
	require.Empty(t, config.RateText(refcache.Rate{}))
}

func TestBrokenGatesAreRefusedWithTheirLine(t *testing.T) {
	t.Parallel()
	const maps = "gates: {maps: {each: 5}}\n"
	checkMessages(t, map[string]string{
		"gates: [maps]":                                                         `1: gates is ["maps"], must be a mapping of keys to values`,
		"gates:\n  a/b: {}":                                                     `2: gates: gate "a/b": use letters, digits and ._- (first a letter or digit), at most 128`,
		"gates:\n  maps: 5":                                                     "2: gates.maps is 5, must be a mapping of keys to values",
		"gates:\n  maps:\n    each: -1":                                         "3: gates.maps.each is -1, must be a whole number, 0 (no limit) or more",
		"gates:\n  maps:\n    all: -1":                                          "3: gates.maps.all is -1, must be a whole number, 0 (no limit) or more, or slots",
		"gates: {maps: {all: slot}}":                                            `1: gates.maps.all is "slot", must be a whole number, 0 (no limit) or more, or slots`,
		"gates: {maps: {rate: 20}}":                                             "1: gates.maps.rate is 20, must be a rate like 20/s, 100/m or 5/10s",
		"gates: {maps: {rate: 0/s}}":                                            `1: gates.maps.rate is "0/s", must be a rate like 20/s, 100/m or 5/10s`,
		"gates: {maps: {rate: 2/-1s}}":                                          `1: gates.maps.rate is "2/-1s", must be a rate like 20/s, 100/m or 5/10s`,
		"gates: {maps: {rate: 2/}}":                                             `1: gates.maps.rate is "2/", must be a rate like 20/s, 100/m or 5/10s`,
		"gates:\n  maps: {rate: 10001/s}":                                       "2: gates.maps.rate is 10001 in 1s, must be at most 10000 in 1s",
		"gates: {maps: {burst: 0}}":                                             "1: gates.maps.burst is 0, must be a whole number, at least 1",
		"gates: {maps: {burst: 2}}":                                             "1: gates.maps.burst is 2, must stand beside a rate",
		"gates: {maps: {most_waiting: -1}}":                                     "1: gates.maps.most_waiting is -1, must be a whole number, 0 (no limit) or more",
		"gates: {maps: {each: 1000000001}}":                                     "1: gates.maps.each is 1000000001, must be at most 1000000000",
		"gates: {maps: {eech: 1}}":                                              "1: gates.maps: unknown key eech (did you mean each?)",
		"gates: {maps: {gate: x}}":                                              "1: gates.maps: unknown key gate (it belongs to a function)",
		"defaults: {gate: maps}":                                                "1: defaults: unknown key gate (it belongs to a function)",
		"functions: {f: {each: 1}}":                                             "1: functions.f: unknown key each (it belongs to a gate)",
		"functions: {f: {gates: 1}}":                                            "1: functions.f: unknown key gates (it belongs at the top level)",
		"functions: {f: {gate: maps}}":                                          `1: functions.f.gate is "maps", must be one of gates: (there are none)`,
		maps + "functions: {f: {gate: mops}}":                                   `2: functions.f.gate is "mops", must be one of gates: (did you mean maps?)`,
		maps + "functions: {f: {gate: redis}}":                                  `2: functions.f.gate is "redis", must be one of gates: (known are maps)`,
		maps + "functions: {f: {gate: [maps]}}":                                 `2: functions.f.gate is ["maps"], must be a name of gates:`,
		"functions:\n  f:\n    turn: {key: /a}":                                 "2: functions.f.turn is set, must stand beside a gate",
		maps + "functions:\n  f:\n    gate: maps\n    turn:\n      key: host":   `6: functions.f.turn.key is "host", must be JSON Pointers like /url`,
		maps + "functions:\n  f:\n    gate: maps\n    turn:\n      share: []":   `6: functions.f.turn.share is [], must be a JSON Pointer like /host, or a list like [/host, /port]`,
		maps + "functions:\n  f:\n    gate: maps\n    turn:\n      key: {a: b}": `6: functions.f.turn.key is a mapping, must be a JSON Pointer like /host, or a list like [/host, /port]`,
		maps + "functions:\n  f:\n    gate: maps\n    turn:\n      ahead: 25h":  "6: functions.f.turn.ahead is 25h0m0s, must be 0 to 24h0m0s",
		maps + "functions:\n  f:\n    gate: maps\n    turn:\n      ahead: -1s":  `6: functions.f.turn.ahead is "-1s", must be a duration like 1.5s, 5m or 168h, or a number of seconds`,
		maps + "functions: {f: {gate: maps, turn: {shares: /a}}}":               "2: functions.f.turn: unknown key shares (did you mean share?)",
		maps + "functions: {f: {gate: maps, turn: /a}}":                         `2: functions.f.turn is "/a", must be a mapping of keys to values`,
		maps + "functions:\n  b: {gate: maps}\n  a: {gate: maps, queue: q}":     "4: functions.a.gate is maps, which b has in queue default, and a in queue q: the functions of a gate share a queue",
	})
}
