package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/monitor"
)

const (
	findingsFresh = time.Minute
	// lookWithin is longer than what a look takes of which several nodes are silent.
	lookWithin = 30 * time.Second
	// findingsKept is how long findings are shown that no new look has replaced.
	findingsKept = 3 * time.Minute
)

// doctor looks at the health in the background: a scrape does not wait for it, and shows what was found last.
type doctor struct {
	admin *admin.Admin // nil: nothing is looked at

	mu       sync.Mutex
	looked   time.Time // when the last look began
	found    time.Time // when the findings were
	findings []monitor.Finding
}

func newDoctor(c Config) *doctor {
	if !c.Doctor {
		return &doctor{}
	}
	return &doctor{admin: c.Admin}
}

// read returns what was found last, and begins to look again if that was a minute ago.
func (d *doctor) read() []monitor.Finding {
	if d.admin == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.looked.IsZero() || now.Sub(d.looked) >= findingsFresh {
		d.looked = now
		go d.look()
	}
	if now.Sub(d.found) > findingsKept {
		return nil
	}
	return d.findings
}

func (d *doctor) look() {
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	h, err := d.admin.HealthFor(ctx, "operator")
	if len(h.Servers) == 0 && err != nil { // of which refq_redis_node_up tells
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found, d.findings = time.Now(), h.Findings()
}
