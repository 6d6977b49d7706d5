package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/refq/refq"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/bench"
	"github.com/refq/refq/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// tiny are Options that show whether a scenario works, not what it shows.
func tiny(only ...string) bench.Options {
	return bench.Options{Calls: 20, Callers: []int{4}, Concurrency: 4, Payload: 128, Rounds: 1, Baseline: "asynq", Only: only,
		Stored: 200, Pending: 20, Waiters: 30, Watch: 100 * time.Millisecond}
}

// lab is a Redis of one test.
type lab struct {
	*testing.T
	url string
	rdb redis.UniversalClient
}

func newLab(t *testing.T) lab {
	t.Helper()
	t.Parallel()
	url := "redis://" + testkit.New(t, "--save", "").Addr + testkit.Patience
	rdb, err := refq.Connect(url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	return lab{t, url, rdb}
}

func (l lab) run(o bench.Options) (rows []bench.Row) {
	l.Helper()
	require.NoError(l, bench.Run(l.Context(), l.url, o, bench.Watch{Table: func(t bench.Table) error {
		require.LessOrEqual(l, len(t.About), 100, "it stands above the table, on one line")
		rows = append(rows, t.Rows...)
		return nil
	}}))
	return rows
}

func (l lab) keys() []string { return l.rdb.Keys(l.Context(), "*").Val() }

// find returns the row of a side.
func find(t *testing.T, rows []bench.Row, trial, side string) bench.Row {
	t.Helper()
	for _, r := range rows {
		if r.Case == trial && r.Side == side {
			return r
		}
	}
	require.Failf(t, "no such row", "%s %s", trial, side)
	return bench.Row{}
}

var perCall = []bench.Measure{bench.Commands, bench.InScripts, bench.RoundTrips, bench.Bytes, bench.Allocs, bench.RedisCPU,
	bench.ClientCPU, bench.Rate, bench.P50, bench.P95, bench.P99}

func TestEachScenarioHasItsFiguresAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	latency := []bench.Measure{bench.P50, bench.P95, bench.P99}
	idle := []bench.Measure{bench.CommandsASecond, bench.BytesASecond, bench.RedisCPUASecond}
	want := map[string]struct {
		rows    []string // case/side
		figures []bench.Measure
	}{
		"idle":   {[]string{"/refq", "/asynq"}, latency},
		"closed": {[]string{"4 callers/refq", "4 callers/asynq"}, perCall},
		"open":   {[]string{"submit/refq", "submit/asynq", "drain/refq", "drain/asynq"}, perCall[:8]},
		"many":   {[]string{"SubmitMany/refq", "SubmitMany/Submit", "CallMany/refq", "CallMany/Submit", "CallMany, stored/refq", "CallMany, stored/Submit"}, perCall[:8]},
		"hits":   {[]string{"4 callers/refq", "4 callers/GET"}, perCall},
		"answers": {[]string{"MaxAge/refq", "MaxAge/plain", "Fresh/refq", "Fresh/plain", "KeyFields/refq", "KeyFields/plain",
			"three tags/refq", "three tags/plain", "invalidate 200/full", "invalidate 200/empty"}, perCall},
		"local":      {[]string{"by ref_id/refq", "typed/refq"}, append(slices.Clone(perCall[:8]), bench.Nanoseconds)},
		"retries":    {[]string{"after 10ms/refq", "after 100ms/refq", "after 1s/refq", "after 3s/refq"}, append(latency, bench.Early)},
		"growth":     {[]string{"200+20/full", "200+20/empty"}, perCall},
		"idle-cost":  {[]string{"/refq", "/asynq"}, idle},
		"two-queues": {[]string{"/beside A", "/alone"}, perCall},
		"mixed": {[]string{"4 callers/know one each", "4 callers/know both", "one at a time/know one each", "one at a time/know both"},
			latency},
		"gates": {[]string{"4 callers, all pass/each of its own key", "4 callers, all pass/no gate", "4 callers, in turn/all: slots",
			"4 callers, in turn/no gate", "4 callers, half wait/half at a time", "4 callers, half wait/no gate", "4 callers, others wait/20 wait",
			"4 callers, others wait/none waits"}, perCall},
		"capacity": {[]string{"a result/refq", "a pending call/refq", "a producer/refq", "an idle worker/refq", "a further queue of it/refq"}, nil},
		"waiters":  {[]string{"30/refq"}, append(idle, bench.Subscriptions, bench.HeapPerWaiter, bench.StackPerWaiter)},
	}
	for _, name := range bench.Names() {
		require.Contains(t, want, name)
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			rows := l.run(tiny(name))
			var found []string
			for _, row := range rows {
				found = append(found, row.Case+"/"+row.Side)
				require.Equal(t, name, row.Scenario)
				require.NotEmpty(t, row.Redis)
				for _, m := range want[name].figures {
					require.Contains(t, row.Figures, m, "%s %s", row.Case, row.Side)
				}
				if row.Against != "" {
					require.NotEmpty(t, row.Ratios)
				}
			}
			require.Equal(t, want[name].rows, found)
			require.Empty(t, l.keys())
		})
	}
}

func TestCapacityIsToldOfEachThing(t *testing.T) {
	l := newLab(t)
	o := tiny("capacity")
	o.Calls = 1000 // little else of Redis's memory counts then
	rows := l.run(o)
	for _, name := range []string{"a result", "a pending call"} {
		f := find(t, rows, name, "refq").Figures
		require.Greater(t, f[bench.RedisBytes].Median, float64(o.Payload), "%s: its arguments are kept", name)
		require.Contains(t, f, bench.RedisCPU, name)
	}
	require.GreaterOrEqual(t, find(t, rows, "a producer", "refq").Figures[bench.Connections].Median, 2.0, "for commands, and for messages")
	idle := find(t, rows, "an idle worker", "refq").Figures
	require.GreaterOrEqual(t, idle[bench.Connections].Median, 2.0)
	require.Contains(t, idle, bench.CommandsASecond)
	require.Contains(t, find(t, rows, "a further queue of it", "refq").Figures, bench.CommandsASecond)
}

func TestWhatIsCountedIsExact(t *testing.T) {
	l := newLab(t)
	o := tiny("open", "hits")
	o.Callers = []int{1} // more might make a connection meanwhile, which says HELLO
	o.Payload = 100_000  // goes out in several pieces
	rows := l.run(o)

	get := find(t, rows, "1 caller", "GET").Figures
	require.EqualValues(t, 1, get[bench.Commands].Median)
	require.EqualValues(t, 1, get[bench.RoundTrips].Median)
	require.Zero(t, get[bench.InScripts].Median)
	require.InDelta(t, o.Payload, get[bench.Bytes].Median, 200)

	submit := find(t, rows, "submit", "asynq").Figures
	require.EqualValues(t, 1, submit[bench.Commands].Median)
	require.EqualValues(t, 1, submit[bench.RoundTrips].Median)
	require.EqualValues(t, 3, submit[bench.InScripts].Median, "asynq looks for the id, writes the task, and lists it")
	require.InDelta(t, o.Payload, submit[bench.Bytes].Median, 1000)
}

func TestRatiosCompareNeighbours(t *testing.T) {
	l := newLab(t)
	o := tiny("hits")
	o.Callers = []int{1} // more might make a connection meanwhile, which says HELLO
	o.Rounds = 3
	rows := l.run(o)
	refq, get := find(t, rows, "1 caller", "refq"), find(t, rows, "1 caller", "GET")
	require.Equal(t, "GET", refq.Against)
	require.Empty(t, get.Against)
	require.Empty(t, get.Ratios)
	commands := refq.Ratios[bench.Commands]
	require.GreaterOrEqual(t, commands.Min, 1.0)
	slowest := time.Duration(float64(o.Calls) / refq.Figures[bench.Rate].Min * float64(time.Second))
	counts := 2 * (int(slowest/(2*time.Second)) + 1)
	require.LessOrEqual(t, commands.Max, 1+float64(counts)/float64(o.Calls),
		"a producer writes its counts every 2 s, also in a round, and the first time sends the script's text")
	require.InDelta(t, refq.Figures[bench.Bytes].Median/get.Figures[bench.Bytes].Median, refq.Ratios[bench.Bytes].Median, 0.01)
	rate := refq.Ratios[bench.Rate]
	require.LessOrEqual(t, rate.Min, rate.Median)
	require.LessOrEqual(t, rate.Median, rate.Max)
}

func TestDelayIsThatOfANetwork(t *testing.T) {
	l := newLab(t)
	o := tiny("hits")
	o.Delay = 5 * time.Millisecond
	for _, row := range l.run(o) {
		require.GreaterOrEqual(t, row.Figures[bench.P50].Median, 5.0)
		require.NotContains(t, row.Figures, bench.Allocs, "those of the proxy would be among them")
		require.NotContains(t, row.Figures, bench.ClientCPU)
	}
}

func TestARedisThatHoldsOtherDataIsLeftAlone(t *testing.T) {
	l := newLab(t)
	require.NoError(t, l.rdb.Set(t.Context(), "theirs", "precious", 0).Err())
	err := bench.Run(t.Context(), l.url, tiny("hits"), bench.Watch{})
	require.ErrorIs(t, err, bench.ErrNotEmpty)
	require.NotContains(t, l.rdb.Info(t.Context(), "commandstats").Val(), "evalsha")
}

func TestAnywayMeasuresAndRemovesOnlyWhatIsItsOwn(t *testing.T) {
	l := newLab(t)
	ctx := t.Context()
	require.NoError(t, l.rdb.Set(ctx, "theirs", "precious", 0).Err())
	require.NoError(t, l.rdb.SAdd(ctx, "refq:queues", "theirs").Err())
	o := tiny("closed", "growth")
	o.Anyway = true
	l.run(o)
	require.ElementsMatch(t, []string{"theirs", "refq:queues"}, l.keys())
	require.Equal(t, []string{"theirs"}, l.rdb.SMembers(ctx, "refq:queues").Val())
}

func TestAnInterruptedRunRemovesWhatItMade(t *testing.T) {
	for _, name := range []string{"closed", "idle", "growth", "waiters"} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			o := tiny(name)
			o.Calls, o.Stored, o.Pending, o.Waiters, o.Watch = 1_000_000, 1_000_000, 1_000_000, 1_000_000, time.Hour
			done := make(chan error, 1)
			go func() { done <- bench.Run(ctx, l.url, o, bench.Watch{}) }()
			for len(l.keys()) < 10 {
				require.NoError(t, t.Context().Err())
			}
			interrupt()
			require.ErrorIs(t, <-done, context.Canceled)
			require.Empty(t, l.keys())
		})
	}
}

func TestARowAsJSONHasAllFields(t *testing.T) {
	l := newLab(t)
	for _, row := range l.run(tiny("hits")) {
		text, err := json.Marshal(row)
		require.NoError(t, err)
		require.False(t, bytes.ContainsRune(text, '\n'))
		var fields map[string]any
		require.NoError(t, json.Unmarshal(text, &fields))
		require.Len(t, fields, 9+len(bench.Measures)+2)
		ratios := fields["ratios"].(map[string]any)
		for _, m := range bench.Measures {
			require.Contains(t, fields, string(m))
			require.Contains(t, ratios, string(m))
		}
		require.Nil(t, fields["early"])
		require.Contains(t, fields["p99_ms"], "median")
		require.EqualValues(t, 128, fields["payload_bytes"])
	}
}

func TestOptionsThatCannotBeAreNamed(t *testing.T) {
	t.Parallel()
	require.NoError(t, bench.Defaults.Check())
	require.NoError(t, bench.Quick.Check())
	for want, change := range map[string]func(*bench.Options){
		"--calls is 0":         func(o *bench.Options) { o.Calls = 0 },
		"--callers is 0":       func(o *bench.Options) { o.Callers = []int{4, 0} },
		"--callers is empty":   func(o *bench.Options) { o.Callers = nil },
		"--concurrency is -1":  func(o *bench.Options) { o.Concurrency = -1 },
		"--payload is 63":      func(o *bench.Options) { o.Payload = 63 },
		"--payload is 1048577": func(o *bench.Options) { o.Payload = 1<<20 + 1 },
		"--rounds is 0":        func(o *bench.Options) { o.Rounds = 0 },
		"--delay is -1s":       func(o *bench.Options) { o.Delay = -time.Second },
		"--stored is -1":       func(o *bench.Options) { o.Stored = -1 },
		`--baseline is "x"`:    func(o *bench.Options) { o.Baseline = "x" },
	} {
		o := bench.Defaults
		change(&o)
		require.ErrorContains(t, o.Check(), want)
		require.ErrorContains(t, bench.Run(t.Context(), "redis://127.0.0.1:1", o, bench.Watch{}), want)
	}
}

func TestAClusterIsMeasuredAsAWhole(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	cluster := testkit.Cluster(t, 3, 0)
	url := "redis-cluster://" + cluster.Masters[0].Addr + testkit.Patience
	rdb, err := refq.Connect(url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	l := lab{t, url, rdb}
	o := tiny("closed", "hits", "growth", "capacity", "waiters")
	for _, row := range l.run(o) {
		require.NotEmpty(t, row.Figures, row.Case)
	}
	rows := l.run(tiny("closed"))
	one := find(t, rows, "4 callers", "refq")
	require.Positive(t, one.Figures[bench.Commands].Median)
	require.Positive(t, one.Figures[bench.InScripts].Median, "on whichever node its queue is")
	require.Zero(t, rdb.DBSize(t.Context()).Val())
}

func TestCountedFiguresAboveTheirLimitsAreTold(t *testing.T) {
	t.Parallel()
	missing := bench.Exceeded(nil)
	require.NotEmpty(t, missing)
	for _, text := range missing {
		require.Contains(t, text, "was not measured")
		for _, timed := range []string{"_us_", "_ms", "ns_", "calls_per_second"} {
			require.False(t, strings.Contains(text, timed), "%s: a busy machine must not fail it", text)
		}
	}
	row := bench.Row{Scenario: "closed", Case: "16 callers", Side: "refq", Figures: map[bench.Measure]bench.Spread{
		bench.Commands: {Median: 1000}, bench.RoundTrips: {Median: 0.1}}}
	texts := strings.Join(bench.Exceeded([]bench.Table{{Rows: []bench.Row{row}}}), "\n")
	require.Contains(t, texts, "closed 16 callers: commands_per_call is 1000.00, may be ")
	require.NotContains(t, texts, "closed 16 callers: round_trips_per_call")
}
