package metrics

import (
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

var (
	of     = []string{"queue", "func"}
	ofGate = []string{"queue", "gate"}
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("refq_"+name, help, labels, nil)
}

// What there is. A worker counts what it runs, a producer what it asks for.
var (
	submitted  = describe("calls_submitted_total", "Calls made here: hits, answered by what is stored, stale ones, answered by an old result, those that joined a run, and misses, which started one.", "queue", "func", "result")
	refreshes  = describe("refreshes_total", "Runs that calls of this process started to renew a result.", of...)
	unrefresh  = describe("refreshes_failed_total", "Runs here that were to renew a result and ended without a new one.", of...)
	saved      = describe("run_seconds_saved_total", "How long the runs took whose results hits were answered with.", of...)
	waiters    = describe("waiters", "Callers of this process that wait for the end of a task.")
	finished   = describe("calls_finished_total", "Tasks that ended: complete or failed at the worker, cancelled at the producer.", "queue", "func", "status")
	attempts   = describe("attempts_total", "Attempts by how they ended; lost ones are counted by the worker that finds them.", "queue", "func", "outcome")
	inFlight   = describe("attempts_in_flight", "Attempts that run here.", of...)
	redeliver  = describe("redeliveries_total", "Lost attempts whose task was queued again.", of...)
	took       = describe("attempt_duration_seconds", "How long functions ran, whatever came of it.", of...)
	callTook   = describe("call_duration_seconds", "From a call to its end, retries included.", of...)
	queueWait  = describe("queue_wait_seconds", "From when a task could run to the start of its attempt; retries are not among these.", of...)
	backoff    = describe("retry_backoff_seconds", "Delays of the retries that were scheduled.", of...)
	lateness   = describe("retry_lateness_seconds", "From when a retry was due to its start.", of...)
	repairs    = describe("sweep_repairs_total", "What sweeps mended: doorbells that were missing, dead workers forgotten.", "queue", "repair")
	workerUp   = describe("worker_up", "1 while the worker takes calls and Redis hears of it.")
	queueUp    = describe("worker_queue_up", "1 while the worker takes calls of the queue and Redis hears of it there.", "queue")
	redisFault = describe("redis_errors_total", "Errors of Redis, or on the way to it, by what was done.", "operation")
	nodeUp     = describe("redis_node_up", "1 while a Redis answers that holds calls, for each master of a Cluster; each process shows the same.", "node")
	usedMemory = describe("redis_used_memory_bytes", "Memory that a Redis uses, for each master of a Cluster; each process shows the same.", "node")
	maxMemory  = describe("redis_max_memory_bytes", "Its maxmemory, where one is set; each process shows the same.", "node")
	evicted    = describe("redis_evicted_keys_total", "Keys that it has evicted since it started; each process shows the same.", "node")
	findings   = describe("findings", "1 for each finding of refq doctor, with its level now; where Config.Doctor is set.", "finding", "level")
	tasks      = describe("queue_tasks", "Tasks in a queue of Redis by status; each process shows the same, at most 10 s old.", "queue", "status")
	oldest     = describe("queue_oldest_pending_seconds", "How long the oldest pending task has waited; each process shows the same.", "queue")
	processing = describe("queue_oldest_processing_seconds", "How long the attempt has run that runs longest, as workers told last; each process shows the same.", "queue")
	aside      = describe("queue_aside", "Doorbells that are set aside for a worker that knows their function; each process shows the same.", "queue", "func")
	workers    = describe("queue_workers", "Living workers that serve a queue; each process shows the same.", "queue")
	paused     = describe("paused", "1, for a queue that is paused, without func, for a function, by its name or name@version, and for a gate or a key of it; each process shows the same.", "queue", "func", "gate", "key")
	gateRuns   = describe("gate_running", "Calls of a gate that were let in and have not ended; each process shows the same.", ofGate...)
	gateLimit  = describe("gate_limit", "How many of these there may be, for gates that have such a limit; each process shows the same.", ofGate...)
	gateWaits  = describe("gate_waiting", "Calls that wait for their turn, of up to 10,000 keys; each process shows the same.", ofGate...)
	gateOldest = describe("gate_oldest_waiting_seconds", "How long one of those has waited that were looked at, at most; each process shows the same.", ofGate...)
	buildInfo  = describe("build_info", "1, for what runs.", "version", "go_version")
)

var descriptions = []*prometheus.Desc{submitted, refreshes, unrefresh, saved, waiters, finished, attempts, inFlight, redeliver, took, callTook, queueWait, backoff,
	lateness, repairs, workerUp, queueUp, redisFault, nodeUp, usedMemory, maxMemory, evicted, findings, tasks, oldest, processing, aside, workers, paused, gateRuns, gateLimit, gateWaits, gateOldest, buildInfo}

type collector struct {
	Config
	queues *queues
	doctor *doctor
}

func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		to <- d
	}
}

func (c *collector) Collect(to chan<- prometheus.Metric) {
	s := sink(to)
	s.gauge(buildInfo, 1, c.version(), runtime.Version())
	if c.Producer != nil {
		c.collectProducer(s)
	}
	c.collectCancels(s)
	if c.Worker != nil {
		c.collectWorker(s)
	}
	read := c.queues.read()
	for node, state := range read.nodes {
		s.node(node, state)
	}
	for _, f := range c.doctor.read() {
		s.gauge(findings, 1, f.ID, string(f.Level))
	}
	for queue, size := range read.queues {
		for status, n := range size.Tasks {
			s.gauge(tasks, float64(n), queue, string(status))
		}
		s.gauge(oldest, size.OldestPending.Seconds(), queue)
		s.gauge(processing, size.OldestProcessing.Seconds(), queue)
		for name, n := range size.Aside {
			s.gauge(aside, float64(n), queue, name)
		}
		s.gauge(workers, float64(size.Workers), queue)
		for _, p := range size.pauses {
			key := ""
			if p.Key != nil {
				key = *p.Key
			}
			s.gauge(paused, 1, queue, p.Func, p.Gate, key)
		}
		s.gates(size.gates)
	}
	for operation, n := range c.redisErrors() {
		s.counter(redisFault, n, operation)
	}
}

func (c *collector) collectProducer(s sink) {
	s.gauge(waiters, float64(c.Producer.Waiters()))
	for _, n := range c.Producer.Counts() {
		s.counter(submitted, n.Hits, n.Queue, n.Func, "hit")
		s.counter(submitted, n.Stale, n.Queue, n.Func, "stale")
		s.counter(submitted, n.Joined, n.Queue, n.Func, "joined")
		s.counter(submitted, n.Misses, n.Queue, n.Func, "miss")
		s.counter(refreshes, n.Refreshes, n.Queue, n.Func)
		s.seconds(saved, n.Saved, n.Queue, n.Func)
	}
}

// collectCancels counts the calls that the producer and the admin cancelled together: they are one series.
func (c *collector) collectCancels(s sink) {
	type function struct{ queue, name string }
	cancels := map[function]int64{}
	add := func(counts []monitor.Counts) {
		for _, n := range counts {
			cancels[function{n.Queue, n.Func}] += n.Cancelled
		}
	}
	if c.Producer != nil {
		add(c.Producer.Counts())
	}
	if c.Admin != nil {
		add(c.Admin.Counts())
	}
	for f, n := range cancels {
		s.counter(finished, n, f.queue, f.name, string(refcache.Cancelled))
	}
}

func (c *collector) collectWorker(s sink) {
	up := 0.0
	if c.Worker.Ready() == nil {
		up = 1
	}
	s.gauge(workerUp, up)
	for _, q := range c.Worker.Served() {
		up := 0.0
		if q.Err == nil {
			up = 1
		}
		s.gauge(queueUp, up, q.Queue)
	}
	for _, n := range c.Worker.Counts() {
		s.counter(finished, n.Complete, n.Queue, n.Func, string(refcache.Complete))
		s.counter(finished, n.Failed, n.Queue, n.Func, string(refcache.Failed))
		s.attempts(n)
		s.gauge(inFlight, float64(n.InFlight), n.Queue, n.Func)
		s.counter(redeliver, n.Redelivered, n.Queue, n.Func)
		s.counter(unrefresh, n.RefreshesFailed, n.Queue, n.Func)
		s.histogram(took, n.AttemptDurations, n.Queue, n.Func)
		s.histogram(callTook, n.CallDurations, n.Queue, n.Func)
		s.histogram(queueWait, n.QueueWaits, n.Queue, n.Func)
		s.histogram(backoff, n.Backoffs, n.Queue, n.Func)
		s.histogram(lateness, n.RetryLateness, n.Queue, n.Func)
	}
	for _, n := range c.Worker.Repairs() {
		s.counter(repairs, n.Doorbells, n.Queue, "doorbell")
		s.counter(repairs, n.Workers, n.Queue, "worker")
	}
}

// redisErrors are those of all who count them here.
func (c *collector) redisErrors() map[string]int64 {
	all := c.queues.store.ErrorCounts()
	add := func(counts map[string]int64) {
		for operation, n := range counts {
			all[operation] += n
		}
	}
	if c.Producer != nil {
		add(c.Producer.RedisErrors())
	}
	if c.Admin != nil {
		add(c.Admin.RedisErrors())
	}
	if c.Worker != nil {
		add(c.Worker.RedisErrors())
	}
	return all
}

func (c *collector) version() string {
	if c.Version != "" {
		return c.Version
	}
	const refq = "github.com/refq/refq"
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range append(build.Deps, &build.Main) {
		if m.Path == refq && m.Version != "" {
			return m.Version
		}
	}
	return "unknown"
}

// sink is where metrics go.
type sink chan<- prometheus.Metric

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sink) node(node string, state store.NodeState) {
	s.gauge(nodeUp, map[bool]float64{true: 1}[state.Up], node)
	if !state.Told {
		return
	}
	s.gauge(usedMemory, float64(state.Memory), node)
	if state.MaxMemory > 0 {
		s.gauge(maxMemory, float64(state.MaxMemory), node)
	}
	s.counter(evicted, state.Evicted, node)
}

func (s sink) gates(gates []monitor.GateState) {
	for _, g := range gates {
		s.gauge(gateRuns, float64(g.Running), g.Queue, g.Name)
		if g.Limit > 0 {
			s.gauge(gateLimit, float64(g.Limit), g.Queue, g.Name)
		}
		s.gauge(gateWaits, float64(g.Waiting), g.Queue, g.Name)
		s.gauge(gateOldest, g.Oldest.Seconds(), g.Queue, g.Name)
	}
}

func (s sink) counter(d *prometheus.Desc, n int64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func (s sink) seconds(d *prometheus.Desc, n time.Duration, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, n.Seconds(), labels...)
}

func (s sink) attempts(n monitor.Counts) {
	a := n.Attempts
	for _, o := range []struct {
		outcome string
		n       int64
	}{{"complete", a.Complete}, {"error", a.Error}, {"panic", a.Panic}, {"timeout", a.Timeout}, {"lost", a.Lost},
		{"cancelled", a.Cancelled}, {"handed_back", a.HandedBack}} {
		s.counter(attempts, o.n, n.Queue, n.Func, o.outcome)
	}
}

func (s sink) histogram(d *prometheus.Desc, h monitor.Histogram, labels ...string) {
	buckets, below := map[float64]uint64{}, uint64(0)
	for i, n := range h.Buckets {
		below += uint64(n)
		if bound, ok := monitor.HistogramBound(i); ok {
			buckets[bound.Seconds()] = below
		}
	}
	s <- prometheus.MustNewConstHistogram(d, below, h.Sum.Seconds(), buckets, labels...)
}
