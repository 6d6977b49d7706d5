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

// mostFunctions bounds what one process keeps, and so what monitoring has to store of it.
const mostFunctions = 100

// Tally holds the counts of one process. It is safe for concurrent use. Make one with New and Close it.
type Tally struct {
	store *store.Store

	cells atomic.Pointer[map[key]*Cell] // replaced, never changed: readers take no lock
	armed atomic.Bool                   // a flush is due

	mu      sync.Mutex // guards what follows, and the adding of cells
	repairs map[string]monitor.Repairs
	timer   *time.Timer // of the flush that is due
	closed  bool

	flushes  sync.WaitGroup // due, or under way
	flushing sync.Mutex     // one at a time
}

type key struct{ queue, function string }

// New returns a Tally that adds its counts to s.
func New(s *store.Store) *Tally {
	t := &Tally{store: s, repairs: map[string]monitor.Repairs{}}
	t.cells.Store(&map[key]*Cell{})
	return t
}

// Of returns where to count calls of a function in a queue.
func (t *Tally) Of(queue, function string) *Cell {
	k := key{queue, function}
	if c := (*t.cells.Load())[k]; c != nil {
		return c
	}
	return t.add(k)
}

func (t *Tally) add(k key) *Cell {
	t.mu.Lock()
	defer t.mu.Unlock()
	cells := *t.cells.Load()
	if len(cells) >= mostFunctions && cells[k] == nil {
		k.function = Other
		if len(cells) >= 2*mostFunctions && cells[k] == nil {
			k.queue = Other // as many queues as functions: whoever has them does not look at each
		}
	}
	if c := cells[k]; c != nil {
		return c
	}
	cells = maps.Clone(cells)
	cells[k] = &Cell{key: k, tally: t}
	t.cells.Store(&cells)
	return cells[k]
}

// Counts returns everything that was counted, by queue and function.
func (t *Tally) Counts() []monitor.Counts {
	cells := *t.cells.Load()
	counts := make([]monitor.Counts, 0, len(cells))
	for _, c := range cells {
		counts = append(counts, c.counts())
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
func (t *Tally) Repaired(queue string, doorbells, workers int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.repairs[queue]
	t.repairs[queue] = monitor.Repairs{Queue: queue, Doorbells: r.Doorbells + int64(doorbells), Workers: r.Workers + int64(workers)}
}

// Repairs returns what sweeps have mended, by queue.
func (t *Tally) Repairs() []monitor.Repairs {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Values(t.repairs), func(a, b monitor.Repairs) int { return strings.Compare(a.Queue, b.Queue) })
}

const (
	flushEvery = 2 * time.Second
	// flushAgain is the wait after a flush that failed: Redis has other worries.
	flushAgain = 10 * time.Second
	// flushTimeout bounds a flush, and so how long Close takes.
	flushTimeout = time.Second
)

// due sees to it that what was counted is flushed. Nothing is flushed, and no timer runs, where nothing is counted.
func (t *Tally) due() {
	if !t.armed.Load() && t.armed.CompareAndSwap(false, true) {
		t.arm(flushEvery)
	}
}

func (t *Tally) arm(after time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.flushes.Add(1)
	t.timer = time.AfterFunc(after, func() {
		defer t.flushes.Done()
		t.armed.Store(false) // before the counts are read: what comes later is for the next flush
		if t.flush() != nil && t.armed.CompareAndSwap(false, true) {
			t.arm(flushAgain)
		}
	})
}

// Close flushes what was counted, within a second; nothing is flushed after that. Counting goes on.
func (t *Tally) Close() {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	if t.timer != nil && t.timer.Stop() {
		t.flushes.Done()
	}
	t.mu.Unlock()
	t.flushes.Wait()
	if first {
		_ = t.flush() // approximate, never authoritative: nobody waits for it, and nothing follows from it
	}
}

// flush adds what is new to the minute that runs. What failed is new again at the next flush.
func (t *Tally) flush() error {
	t.flushing.Lock()
	defer t.flushing.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout) // it is nobody's call
	defer cancel()
	byQueue := map[string][]*Cell{}
	for k, c := range *t.cells.Load() {
		byQueue[k.queue] = append(byQueue[k.queue], c)
	}
	var failed error
	for queue, cells := range byQueue {
		if err := t.flushQueue(ctx, queue, cells); err != nil {
			failed = err
		}
	}
	return failed
}

func (t *Tally) flushQueue(ctx context.Context, queue string, cells []*Cell) error {
	var fresh []monitor.FunctionStats
	now := make([]monitor.FunctionStats, len(cells))
	for i, c := range cells {
		now[i] = c.stats()
		if d := minus(now[i], c.flushed); d.CallCounts != (monitor.CallCounts{}) || d.Durations.Count() > 0 {
			fresh = append(fresh, d)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := t.store.CountMinute(ctx, queue, fresh); err != nil {
		return err
	}
	for i, c := range cells {
		c.flushed = now[i]
	}
	return nil
}

// minus is what a has more than b.
func minus(a, b monitor.FunctionStats) monitor.FunctionStats {
	a.New -= b.New
	a.Joined -= b.Joined
	a.Hits -= b.Hits
	a.Complete -= b.Complete
	a.Failed -= b.Failed
	a.Cancelled -= b.Cancelled
	for i, n := range b.Durations.Buckets {
		a.Durations.Buckets[i] -= n
	}
	return a
}
