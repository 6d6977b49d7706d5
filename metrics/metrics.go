// Package metrics shows monitoring how producers and workers of a process are: as metrics for Prometheus, and as answers
// to the probes of whoever keeps the process running. Only who imports it links Prometheus.
package metrics

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/worker"
)

// Config names what is shown.
type Config struct {
	// Redis is the client that the Producer and the Worker use.
	Redis redis.UniversalClient
	// Producer, Admin and Worker are those of this process. Nil: there is none here.
	Producer *producer.Producer
	Admin    *admin.Admin
	Worker   *worker.Worker
	// Doctor has the Admin look at the health of Redis, calls and workers for refq_findings, at most once a minute, when metrics
	// are asked for. It costs Redis more than all other metrics, and one process is enough. It counts only with an Admin.
	Doctor bool
	// Version is the version of the program, for refq_build_info. Default: that of refq in it.
	Version string
}

// probeTimeout bounds an answer: whoever asks gives up after some seconds, too.
const probeTimeout = 2 * time.Second

// Handler serves
//
//	GET /metrics   metrics of refq, the Go runtime and the process, for Prometheus
//	GET /healthz   200 while the process answers
//	GET /readyz    200 while the Worker takes calls of at least one queue, with a line for each that it does not serve; 503 when
//	               none is served, or the Worker stops. ?queue=NAME asks for one queue: 404 if it is none of the Worker's.
//	               Without a Worker: 200 while a node of Redis answers, else 503 with the reason
//
// They tell names of functions and queues, nothing of single calls; they ask for no password.
func Handler(c Config) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewCollector(c), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		status, text := c.ready(r)
		if status != http.StatusOK {
			http.Error(w, text, status)
			return
		}
		fmt.Fprintln(w, text)
	})
	return mux
}

// NewCollector returns the metrics of refq alone, for a registry of your own.
func NewCollector(c Config) prometheus.Collector {
	s := store.New(c.Redis)
	s.FlagBy(queue.PausedKey)
	return &collector{Config: c, queues: &queues{store: s, worker: c.Worker}, doctor: newDoctor(c)}
}
