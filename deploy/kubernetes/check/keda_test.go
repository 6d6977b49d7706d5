package check

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/refq/refq/metrics"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/refqtest"
)

// scaledObject is KEDA's, as far as keda.yaml uses it.
type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ScaleTargetRef  struct{ Name string } `json:"scaleTargetRef"`
		MinReplicaCount int                   `json:"minReplicaCount"`
		MaxReplicaCount int                   `json:"maxReplicaCount"`
		PollingInterval int                   `json:"pollingInterval"`
		CooldownPeriod  int                   `json:"cooldownPeriod"`
		Triggers        []struct {
			Type     string `json:"type"`
			Metadata struct {
				ServerAddress string `json:"serverAddress"`
				Query         string `json:"query"`
				Threshold     string `json:"threshold"`
			} `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

func readScaledObject(t *testing.T) (s scaledObject) {
	text, err := os.ReadFile("../keda.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalStrict(text, &s))
	require.Equal(t, "keda.sh/v1alpha1 ScaledObject", s.APIVersion+" "+s.Kind)
	return s
}

func TestWorkersAreScaled(t *testing.T) {
	s := readScaledObject(t).Spec
	require.Contains(t, read(t, "../refq.yaml").deployments, s.ScaleTargetRef.Name)
	require.Less(t, s.MinReplicaCount, s.MaxReplicaCount)
	require.Len(t, s.Triggers, 1)
	require.Equal(t, "prometheus", s.Triggers[0].Type)
	threshold, err := strconv.ParseFloat(s.Triggers[0].Metadata.Threshold, 64)
	require.NoError(t, err)
	require.Positive(t, threshold)
}

// Two processes tell of the same queues: the calls that wait there are counted once.
func TestTheQueryOfKEDACountsWhatWaits(t *testing.T) {
	rdb := refqtest.NewRedis(t)
	p := producer.New(rdb, producer.Config{})
	defer p.Close()
	handler := metrics.Handler(metrics.Config{Redis: rdb, Producer: p})
	query := readScaledObject(t).Spec.Triggers[0].Metadata.Query
	require.Empty(t, ask(t, query, scrape(t, "web", handler)), "KEDA takes nothing for 0")

	for queue, calls := range map[string]int{"default": 7, "media": 5} {
		for n := range calls {
			_, err := producer.Submit(t.Context(), p, refcache.Func[int, int]{Name: "f", Queue: queue}, n)
			require.NoError(t, err)
		}
	}
	seeded := append(scrape(t, "web", metrics.Handler(metrics.Config{Redis: rdb, Producer: p})),
		scrape(t, "worker", metrics.Handler(metrics.Config{Redis: rdb, Producer: p}))...)
	require.Equal(t, []float64{12}, ask(t, query, seeded))
}

// at is when everything was scraped.
var at = time.Unix(1_800_000_000, 0)

// scraped are series with one sample each.
type scraped []promql.Series

// scrape reads what a process shows Prometheus.
func scrape(t *testing.T, instance string, handler http.Handler) (all scraped) {
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	require.NoError(t, err)
	for name, family := range families {
		if !strings.HasPrefix(name, "refq_queue_") {
			continue
		}
		for _, m := range family.Metric {
			of := map[string]string{labels.MetricName: name, "instance": instance, "job": "refq-" + instance}
			for _, l := range m.Label {
				of[l.GetName()] = l.GetValue()
			}
			all = append(all, promql.Series{Metric: labels.FromMap(of), Floats: []promql.FPoint{{T: at.UnixMilli(), F: m.Gauge.GetValue()}}})
		}
	}
	return all
}

// ask gives the values that Prometheus would answer.
func ask(t *testing.T, query string, all scraped) (values []float64) {
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 10_000, Timeout: time.Minute})
	defer engine.Close()
	asked, err := engine.NewInstantQuery(t.Context(), storage.QueryableFunc(func(_, _ int64) (storage.Querier, error) {
		return querier{storage.NoopQuerier(), all}, nil
	}), nil, query, at)
	require.NoError(t, err)
	defer asked.Close()
	answer := asked.Exec(t.Context())
	require.NoError(t, answer.Err)
	vector, err := answer.Vector()
	require.NoError(t, err, fmt.Sprint(answer))
	for _, sample := range vector {
		values = append(values, sample.F)
	}
	return values
}

type querier struct {
	storage.Querier
	all scraped
}

func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	found := &found{at: -1}
	for _, s := range q.all {
		matches := true
		for _, m := range matchers {
			matches = matches && m.Matches(s.Metric.Get(m.Name))
		}
		if matches {
			found.series = append(found.series, s)
		}
	}
	return found
}

// found is a storage.SeriesSet.
type found struct {
	series scraped
	at     int
}

func (f *found) Next() bool {
	f.at++
	return f.at < len(f.series)
}

func (f *found) At() storage.Series                { return promql.NewStorageSeries(f.series[f.at]) }
func (f *found) Err() error                        { return nil }
func (f *found) Warnings() annotations.Annotations { return nil }
