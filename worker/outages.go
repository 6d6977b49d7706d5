package worker

import (
	"log/slog"
	"slices"
	"sync"
	"time"
)

// sayAgain is how often the log repeats that a node of Redis is away.
const sayAgain = time.Minute

// outages says of each node of Redis that it does not answer, with the queues that are there: when it begins, again each minute,
// and when it is over.
type outages struct {
	log *slog.Logger

	mu    sync.Mutex
	nodes map[string]*outage
}

// outage is that of one node, the present or the last one.
type outage struct {
	since  time.Time // zero: it is over
	said   time.Time // when it was last said, or an earlier one
	queues []string  // sorted
}

// report tells which of a node's queues are served now, and which are not, and why.
func (o *outages) report(node string, served, failing []string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.areServed(served)
	if len(failing) > 0 {
		o.fail(node, failing, err)
	}
}

// areServed ends the outages of nodes whose queues are all served again, there or elsewhere.
func (o *outages) areServed(queues []string) {
	for node, out := range o.nodes {
		out.queues = slices.DeleteFunc(out.queues, func(q string) bool { return slices.Contains(queues, q) })
		if len(out.queues) > 0 || out.since.IsZero() {
			continue
		}
		if !out.said.Before(out.since) {
			o.log.Info("Redis is back", "node", node, "away", time.Since(out.since).Round(time.Second))
		}
		out.since = time.Time{}
	}
}

func (o *outages) fail(node string, queues []string, err error) {
	now := time.Now()
	out := o.nodes[node]
	if out == nil {
		out = &outage{}
		if o.nodes == nil {
			o.nodes = map[string]*outage{}
		}
		o.nodes[node] = out
	}
	if out.since.IsZero() {
		out.since = now
	}
	out.queues = slices.Compact(slices.Sorted(slices.Values(append(out.queues, queues...))))
	for other, was := range o.nodes { // a queue may have moved from one node that is away to another
		if other != node {
			was.queues = slices.DeleteFunc(was.queues, func(q string) bool { return slices.Contains(queues, q) })
		}
	}
	if now.Sub(out.said) >= sayAgain {
		out.said = now
		o.log.Warn("Redis does not answer; attempts go on, outcomes are kept until it is back",
			"node", node, "queues", some(out.queues), "err", err)
	}
}
