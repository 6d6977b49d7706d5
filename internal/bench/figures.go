package bench

import (
	"math"
	"slices"
	"time"
)

// Measure names a figure, as JSON does.
type Measure string

// What is counted comes first: a busy machine does not spoil it. CPU times suffer a little, rates and times a lot.
const (
	Commands        Measure = "commands_per_call"        // sent by clients
	InScripts       Measure = "script_commands_per_call" // called by scripts, in Redis
	RoundTrips      Measure = "round_trips_per_call"     // a pipeline is one
	Bytes           Measure = "bytes_per_call"           // both ways
	Allocs          Measure = "allocs_per_call"          // in Go, callers and workers together
	Early           Measure = "early"                    // retries that ran before they were due
	Subscriptions   Measure = "subscriptions"            // channels that the producer hears
	HeapPerWaiter   Measure = "heap_bytes_per_waiter"    // of Go, without stacks
	StackPerWaiter  Measure = "stack_bytes_per_waiter"   // of its goroutine
	RedisBytes      Measure = "redis_bytes_per_call"     // that Redis holds more, once it is there
	Connections     Measure = "connections"              // to Redis
	CommandsASecond Measure = "commands_per_second"      // sent by clients
	BytesASecond    Measure = "bytes_per_second"         // both ways
	RedisCPU        Measure = "redis_cpu_us_per_call"    // microseconds
	RedisCPUASecond Measure = "redis_cpu_us_per_second"  // microseconds
	ClientCPU       Measure = "client_cpu_us_per_call"   // microseconds, callers and workers together
	Rate            Measure = "calls_per_second"
	Nanoseconds     Measure = "ns_per_call"
	P50             Measure = "p50_ms"
	P95             Measure = "p95_ms"
	P99             Measure = "p99_ms"
)

// Measures lists every Measure in the order in which they are shown.
var Measures = []Measure{Commands, InScripts, RoundTrips, Bytes, Allocs, Early, Subscriptions, HeapPerWaiter, StackPerWaiter,
	RedisBytes, Connections, CommandsASecond, BytesASecond, RedisCPU, RedisCPUASecond, ClientCPU, Rate, Nanoseconds, P50, P95, P99}

// reading is what one round showed.
type reading map[Measure]float64

// with adds how long calls took.
func (r reading) with(took []time.Duration) reading {
	slices.Sort(took)
	for m, share := range map[Measure]float64{P50: 0.5, P95: 0.95, P99: 0.99} {
		r[m] = float64(quantile(took, share)) / float64(time.Millisecond)
	}
	return r
}

// quantile is the smallest of the sorted values that so great a share of them does not exceed.
func quantile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(share * float64(len(sorted)))
	return sorted[min(i, len(sorted)-1)]
}

// Spread is a figure over all rounds.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spread(values []float64) Spread {
	slices.Sort(values)
	n := len(values)
	short := func(v float64) float64 { return math.Round(v*1000) / 1000 }
	return Spread{short((values[(n-1)/2] + values[n/2]) / 2), short(values[0]), short(values[n-1])}
}

// spreads sums up the rounds.
func spreads(rounds []reading) map[Measure]Spread {
	all := map[Measure]Spread{}
	for _, m := range Measures {
		var values []float64
		for _, r := range rounds {
			if value, ok := r[m]; ok {
				values = append(values, value)
			}
		}
		if len(values) > 0 {
			all[m] = spread(values)
		}
	}
	return all
}

// ratios compares rounds with those of something else, each with its neighbour: what disturbs one disturbs the other.
func ratios(rounds, others []reading) []reading {
	all := make([]reading, len(rounds))
	for i := range rounds {
		all[i] = reading{}
		for m, value := range rounds[i] {
			if other := others[i][m]; other > 0 {
				all[i][m] = value / other
			}
		}
	}
	return all
}
