package metrics_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// series are samples of metrics: by name and labels, as they are exposed. Those before are of 15 minutes ago.
type series struct{ before, now string }

var (
	sample     = regexp.MustCompile(`^(\w+)(?:\{(.*)\})? (\S+)$`)
	aggregated = regexp.MustCompile(`^(max|min) by \((\w+)\) \((?:(increase)\()?(\w+)(?:\{(.*?)\})?(?:\[15m\]\))?\)$`)
	label      = regexp.MustCompile(`(\w+)="(.*?)"`)
)

func labelsIn(text string) map[string]string {
	found := map[string]string{}
	for _, l := range label.FindAllStringSubmatch(text, -1) {
		found[l[1]] = l[2]
	}
	return found
}

// chosen are the samples of a metric that have these labels.
func chosen(text, name string, with map[string]string) map[string]float64 {
	found := map[string]float64{}
	for line := range strings.Lines(text) {
		parts := sample.FindStringSubmatch(strings.TrimSpace(line))
		if parts == nil || parts[1] != name {
			continue
		}
		has, fits := labelsIn(parts[2]), true
		for l, v := range with {
			fits = fits && has[l] == v
		}
		if value, err := strconv.ParseFloat(parts[3], 64); err == nil && fits {
			found[parts[2]] = value
		}
	}
	return found
}

// evaluate is the part of PromQL that the alerts on Redis, findings and long attempts are written in: an extreme by one label, the quotient of two of
// these, and a comparison with a number. It returns the values for which the comparison holds, by label.
func evaluate(t *testing.T, expression string, of series) map[string]float64 {
	t.Helper()
	parts := regexp.MustCompile(`^(.*) (>|==) (\S+)$`).FindStringSubmatch(strings.TrimSpace(expression))
	require.NotNil(t, parts, expression)
	limit, err := strconv.ParseFloat(parts[3], 64)
	require.NoError(t, err)
	var values map[string]float64
	for i, term := range strings.Split(parts[1], " / ") {
		value := extreme(t, term, of)
		if i == 0 {
			values = value
			continue
		}
		maps.DeleteFunc(values, func(l string, _ float64) bool { _, is := value[l]; return !is })
		for l := range values {
			values[l] /= value[l]
		}
	}
	maps.DeleteFunc(values, func(_ string, v float64) bool { return parts[2] == ">" && v <= limit || parts[2] == "==" && v != limit })
	return values
}

func extreme(t *testing.T, term string, of series) map[string]float64 {
	t.Helper()
	parts := aggregated.FindStringSubmatch(term)
	require.NotNil(t, parts, term)
	found := map[string]float64{}
	before := chosen(of.before, parts[4], labelsIn(parts[5]))
	for labels, v := range chosen(of.now, parts[4], labelsIn(parts[5])) {
		if parts[3] != "" {
			v -= before[labels]
		}
		by := labelsIn(labels)[parts[2]]
		other, known := found[by]
		if !known || parts[1] == "max" && v > other || parts[1] == "min" && v < other {
			found[by] = v
		}
	}
	return found
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	quiet := series{now: `
refq_redis_used_memory_bytes{node="a:1",instance="w1"} 50
refq_redis_max_memory_bytes{node="a:1",instance="w1"} 100
refq_redis_used_memory_bytes{node="b:1",instance="w1"} 9000
refq_redis_evicted_keys_total{node="a:1",instance="w1"} 7
refq_redis_node_up{node="a:1",instance="w1"} 1
refq_findings{finding="eviction",level="warning"} 1
refq_findings{finding="workers",level="ok"} 1
refq_queue_oldest_processing_seconds{queue="q",instance="w1"} 3500`,
		before: `refq_redis_evicted_keys_total{node="a:1",instance="w1"} 7`}
	loud := map[string]struct{ seeded, names string }{
		"RefqRedisMemory":     {`refq_redis_used_memory_bytes{node="a:1",instance="w2"} 91`, "a:1"},
		"RefqRedisEvicts":     {`refq_redis_evicted_keys_total{node="a:1",instance="w1"} 8`, "a:1"},
		"RefqRedisNodeDown":   {`refq_redis_node_up{node="a:1",instance="w2"} 0`, "a:1"},
		"RefqDoctor":          {`refq_findings{finding="workers",level="wrong"} 1`, "workers"},
		"RefqAttemptRunsLong": {`refq_queue_oldest_processing_seconds{queue="q",instance="w2"} 3601`, "q"},
	}
	tried := 0
	for _, a := range alerts(t) {
		c, is := loud[a.Alert]
		if !is {
			continue
		}
		tried++
		require.Empty(t, evaluate(t, a.Expr, quiet), a.Alert)
		fired := evaluate(t, a.Expr, series{quiet.before, quiet.now + "\n" + c.seeded})
		require.Equal(t, []string{c.names}, slices.Sorted(maps.Keys(fired)), a.Alert)
		for other, c := range loud {
			if other != a.Alert {
				require.Empty(t, evaluate(t, a.Expr, series{quiet.before, quiet.now + "\n" + c.seeded}), fmt.Sprint(a.Alert, other))
			}
		}
	}
	require.Equal(t, len(loud), tried)
}
