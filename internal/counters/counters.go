// Package counters counts in memory what a process does with calls, and every 2 s adds what is new to the minute that runs,
// in Redis. Counting costs no round trip and no allocation. What Redis then holds is approximate: it is for charts.
package counters

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/refq/refq/internal/store"
)

// Other is the function that all are counted as beyond the most functions that are told apart.
const Other = "other"

// maxFunctions bounds what one process keeps, and so what monitoring has to store of it.
const maxFunctions = 100

// Counters holds the counts of one process. It is safe for concurrent use. Make one with New and Close it.
type Counters struct {
	store *store.Store

	functions atomic.Pointer[map[key]*Function] // replaced, never changed: readers take no lock
	armed     atomic.Bool                       // a flush is due

	mu      sync.Mutex // guards what follows, and the adding of functions
	repairs map[string]monitor.Repairs
	timer   *time.Timer // of the flush that is due
	closed  bool

	flushes  sync.WaitGroup // due, or under way
	flushing sync.Mutex     // one at a time
}

type key struct{ queue, function string }

// New returns Counters that adds its counts to s.
func New(s *store.Store) *Counters {
	c := &Counters{store: s, repairs: map[string]monitor.Repairs{}}
	c.functions.Store(&map[key]*Function{})
	return c
}

// Of returns where to count calls of a function in a queue.
func (c *Counters) Of(queue, function string) *Function {
	k := key{queue, function}
	if f := (*c.functions.Load())[k]; f != nil {
		return f
	}
	return c.add(k)
}

func (c *Counters) add(k key) *Function {
	c.mu.Lock()
	defer c.mu.Unlock()
	functions := *c.functions.Load()
	if len(functions) >= maxFunctions && functions[k] == nil {
		k.function = Other
		if len(functions) >= 2*maxFunctions && functions[k] == nil {
			k.queue = Other // as many queues as functions: whoever has them does not look at each
		}
	}
	if f := functions[k]; f != nil {
		return f
	}
	functions = maps.Clone(functions)
	functions[k] = &Function{key: k, counters: c}
	c.functions.Store(&functions)
	return functions[k]
}

// Counts returns everything that was counted, by queue and function.
func (c *Counters) Counts() []monitor.Counts {
	functions := *c.functions.Load()
	counts := make([]monitor.Counts, 0, len(functions))
	for _, f := range functions {
		counts = append(counts, f.counts())
	}
	slices.SortFunc(counts, func(a, b monitor.Counts) int {
		if by := strings.Compare(a.Queue, b.Queue); by != 0 {
			return by
		}
		return strings.Compare(a.Func, b.Func)
	})
	return counts
}

// Repaired counts what a sweep has mended in a queue.
func (c *Counters) Repaired(queue string, doorbells, workers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.repairs[queue]
	c.repairs[queue] = monitor.Repairs{Queue: queue, Doorbells: r.Doorbells + int64(doorbells), Workers: r.Workers + int64(workers)}
}

// Repairs returns what sweeps have mended, by queue.
func (c *Counters) Repairs() []monitor.Repairs {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.repairs), func(a, b monitor.Repairs) int { return strings.Compare(a.Queue, b.Queue) })
}

const (
	flushEvery = 2 * time.Second
	// flushAgain is the wait after a flush that failed: Redis has other worries.
	flushAgain = 10 * time.Second
	// flushTimeout bounds a flush, and so how long Close takes.
	flushTimeout = time.Second
)

// due sees to it that what was counted is flushed. Nothing is flushed, and no timer runs, where nothing is counted.
func (c *Counters) due() {
	if !c.armed.Load() && c.armed.CompareAndSwap(false, true) {
		c.arm(flushEvery)
	}
}

func (c *Counters) arm(after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.flushes.Add(1)
	c.timer = time.AfterFunc(after, func() {
		defer c.flushes.Done()
		c.armed.Store(false) // before the counts are read: what comes later is for the next flush
		if c.flush() != nil && c.armed.CompareAndSwap(false, true) {
			c.arm(flushAgain)
		}
	})
}

// Close flushes what was counted, within a second; nothing is flushed after that. Counting goes on.
func (c *Counters) Close() {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	if c.timer != nil && c.timer.Stop() {
		c.flushes.Done()
	}
	c.mu.Unlock()
	c.flushes.Wait()
	if first {
		_ = c.flush() // approximate, never authoritative: nobody waits for it, and nothing follows from it
	}
}

// flush adds what is new to the minute that runs. What failed is new again at the next flush.
func (c *Counters) flush() error {
	c.flushing.Lock()
	defer c.flushing.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout) // it is nobody's call
	defer cancel()
	byQueue := map[string][]*Function{}
	for k, f := range *c.functions.Load() {
		byQueue[k.queue] = append(byQueue[k.queue], f)
	}
	var failed error
	for queue, functions := range byQueue {
		if err := c.flushQueue(ctx, queue, functions); err != nil {
			failed = err
		}
	}
	return failed
}

func (c *Counters) flushQueue(ctx context.Context, queue string, functions []*Function) error {
	var fresh []monitor.FunctionStats
	now := make([]monitor.FunctionStats, len(functions))
	for i, f := range functions {
		now[i] = f.stats()
		if d := minus(now[i], f.flushed); d.CallCounts != (monitor.CallCounts{}) || d.Durations.Count() > 0 {
			fresh = append(fresh, d)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := c.store.CountMinute(ctx, queue, fresh); err != nil {
		return err
	}
	for i, f := range functions {
		f.flushed = now[i]
	}
	return nil
}

// minus is what a has more than b.
func minus(a, b monitor.FunctionStats) monitor.FunctionStats {
	a.Hits -= b.Hits
	a.Stale -= b.Stale
	a.Joined -= b.Joined
	a.Misses -= b.Misses
	a.Refreshes -= b.Refreshes
	a.RefreshesFailed -= b.RefreshesFailed
	a.Saved -= b.Saved
	a.Complete -= b.Complete
	a.Failed -= b.Failed
	a.Cancelled -= b.Cancelled
	for i, n := range b.Durations.Buckets {
		a.Durations.Buckets[i] -= n
	}
	return a
}
