package bench

import "fmt"

// limit is what a counted figure of a run with the Options of Quick may be at most. Limits stand a little above what was
// measured when they were written: raise one only with the reason, lower it when the figure has become lower.
type limit struct {
	scenario, trial string
	measure         Measure
	most            float64
}

var limits = []limit{
	// submit, take and finish, each with asynq's script. On a slow machine a few callers look once more. How many go down a
	// connection together depends on the machine.
	{"closed", "16 callers", Commands, 4.6},
	{"closed", "16 callers", RoundTrips, 2.5},
	{"closed", "16 callers", InScripts, 41},
	{"closed", "16 callers", Bytes, 3850},
	{"closed", "16 callers", Allocs, 335},
	// submit, and a wake-up for those that come within a millisecond: more of them on a slow machine.
	{"open", "submit", Commands, 1.5},
	{"open", "submit", RoundTrips, 1.2},
	{"open", "submit", InScripts, 9.2},
	{"open", "submit", Bytes, 1080},
	{"open", "submit", Allocs, 85},
	// take and finish, and what a worker sends each second anyway: more on a slow machine.
	{"open", "drain", Commands, 2.4},
	{"open", "drain", RoundTrips, 2},
	{"open", "drain", InScripts, 30},
	{"open", "drain", Bytes, 1980},
	{"open", "drain", Allocs, 215},
	// submit, in pipelines of up to 128, and a wake-up for each of those. Machines differ in how full they are.
	{"many", "SubmitMany", Commands, 1.1},
	{"many", "SubmitMany", RoundTrips, 0.1},
	{"many", "SubmitMany", InScripts, 9.2},
	{"many", "SubmitMany", Bytes, 1080},
	{"many", "SubmitMany", Allocs, 105},
	// the same, and what the worker sends: take and finish.
	{"many", "CallMany", Commands, 4},
	{"many", "CallMany", RoundTrips, 2},
	{"many", "CallMany", InScripts, 40},
	{"many", "CallMany", Bytes, 3600},
	{"many", "CallMany", Allocs, 350},
	// one submit that finds the result, in a pipeline. The first of them come with doorbells, since no hit was before them.
	{"many", "CallMany, stored", Commands, 1.02},
	{"many", "CallMany, stored", RoundTrips, 0.05},
	{"many", "CallMany, stored", InScripts, 2.1},
	{"many", "CallMany, stored", Bytes, 1000},
	{"many", "CallMany, stored", Allocs, 75},
	// one submit that finds the result.
	{"hits", "16 callers", Commands, 1.01},
	{"hits", "16 callers", RoundTrips, 1.01},
	{"hits", "16 callers", InScripts, 2.1},
	{"hits", "16 callers", Bytes, 800},
	{"hits", "16 callers", Allocs, 60},
	// the same, with words for the ages, by commas; and a key that is cut out of the arguments.
	{"answers", "MaxAge", Commands, 1.01},
	{"answers", "MaxAge", InScripts, 2.1},
	{"answers", "MaxAge", Bytes, 825},
	{"answers", "MaxAge", Allocs, 75},
	{"answers", "Fresh", Commands, 1.01},
	{"answers", "Fresh", InScripts, 2.1},
	{"answers", "Fresh", Bytes, 825},
	{"answers", "Fresh", Allocs, 75},
	{"answers", "KeyFields", Commands, 1.01},
	{"answers", "KeyFields", InScripts, 2.1},
	{"answers", "KeyFields", Allocs, 75},
	// a ZMSCORE more; and the names of the stamps.
	{"answers", "three tags", Commands, 1.01},
	{"answers", "three tags", InScripts, 3.1},
	{"answers", "three tags", Bytes, 925},
	{"answers", "three tags", Allocs, 85},
	// neither asks Redis; the result's bytes and the times of the response. The connection says now and then that it is alive.
	{"local", "by ref_id", Commands, 0.001},
	{"local", "by ref_id", RoundTrips, 0.001},
	{"local", "by ref_id", Allocs, 2.05},
	// arguments to JSON and to their canonical form, the ref_id, the result from JSON.
	{"local", "typed", Commands, 0.001},
	{"local", "typed", RoundTrips, 0.001},
	{"local", "typed", Allocs, 12.1},
	// asynq's forwards, heartbeats and an idle fetcher's looks; our beats and sweeps.
	{"idle-cost", "", CommandsASecond, 4},
	// one channel for all, whatever their number.
	{"waiters", "1000", Subscriptions, 1},
	// a timer or two, a channel, a context and the record as it was last read; collections leave it 20 % off.
	{"waiters", "1000", HeapPerWaiter, 3000},
}

// Exceeded says which counted figures of refq in a run with the Options of [Quick] are higher than they may be, and
// which are missing. Times have no limits.
func Exceeded(tables []Table) []string {
	found := map[limit]float64{}
	for _, t := range tables {
		for _, row := range t.Rows {
			if row.Side != refqSide {
				continue
			}
			for m, s := range row.Figures {
				found[limit{scenario: row.Scenario, trial: row.Case, measure: m}] = s.Median
			}
		}
	}
	var texts []string
	for _, l := range limits {
		value, ok := found[limit{scenario: l.scenario, trial: l.trial, measure: l.measure}]
		switch {
		case !ok:
			texts = append(texts, fmt.Sprintf("%s %s: %s was not measured", l.scenario, l.trial, l.measure))
		case value > l.most:
			texts = append(texts, fmt.Sprintf("%s %s: %s is %.2f, may be %.2f at most",
				l.scenario, l.trial, l.measure, value, l.most))
		}
	}
	return texts
}
