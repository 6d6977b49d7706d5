package producer

import (
	"cmp"
	"context"
	"encoding/json"
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// LocalCache says how many results of complete calls a Producer keeps in its memory. From these, [Do], [Call], [Wait]
// and [Get], and the methods Wait and Get, answer without asking Redis. The zero LocalCache keeps none.
//
// A result is forgotten when its call is deleted, run again or invalidated, by anybody: at once in the Producer that does
// so, within milliseconds, by a message, in all others. It expires with the record of its call, and is never older than
// Stale. Every caller gets a value of its own. [Submit], [CallMany], calls with [Refresh] and Producer.Info always
// ask Redis.
type LocalCache struct {
	// Entries is the largest number of results. Zero or negative: as many as Bytes has room for.
	Entries int
	// Bytes is the most memory that results take, with what belongs to them, not compressed. Zero or negative: 64 MiB
	// if Entries is positive, else no results are kept.
	Bytes int64
	// Stale is how old an answer may be: after this time since it was read, a result is read again. It matters when no
	// message comes, because one is lost, or Redis is flushed, fails over or evicts keys. Default 1 s; negative: no
	// results are kept.
	Stale time.Duration
}

// localCache keeps results of complete calls. It is safe for concurrent use; a nil localCache keeps nothing. Its
// Producer closes it.
//
// No result that was read before a message about its call came is served after the message. Every ref_id has a mark, and
// so has every name of a stamp. A read notes the marks before it asks Redis, a message changes one, and a result whose marks
// are not the present ones counts as absent. This holds for a result in the cache and for one that is still on its way from
// Redis. A call that looks at stamps is served only what was read by a call that looked at the same ones.
type localCache struct {
	// Set when it is made.
	clock   *stopwatch
	stale   time.Duration
	entries *otter.Cache[refcache.Ref, *entry]
	seed    maphash.Seed
	sub     *script.Subscription

	// Marks, changed by any goroutine.
	all   atomic.Uint64          // part of every mark
	marks [1 << 14]atomic.Uint64 // several ref_ids and names share one, which costs a needless read now and then

	mu     sync.Mutex
	queues map[string]bool // guarded by mu: whose messages are listened to; nil when closed

	goroutines sync.WaitGroup // one per queue while it subscribes, and one that receives
	receiving  sync.Once
}

// entry is a result in memory. Nobody may change it, but for renewing.
type entry struct {
	answer.Snapshot
	response refcache.Response[json.RawMessage] // without what each caller gets of its own
	readMark                                    // of the read that found it
	renewAt  int64                              // from when on one of those who ask reads it again, by the stopwatch
	until    int64                              // when it expires, by the stopwatch
	renewing atomic.Bool                        // somebody reads it again
}

// readMark is taken before a read. What the read finds was true after that.
type readMark struct {
	ref    refcache.Ref
	stamps []string // names of those that the reader looks at
	at     int64    // by the stopwatch
	slot   int      // of the ref_id's mark
	slots  []int    // of those of the names
	mark   uint64   // the sum of these marks
}

// never is a mark that no slot has: what is read under it is not kept.
const never = math.MaxUint64

const (
	defaultLocalBytes = 64 << 20
	defaultStale      = time.Second
	// entryBytes is about what an entry takes besides its result: the record, the ref_id, and its places in the cache.
	entryBytes = 1280
	// stampBytes is what the name of a stamp takes besides its text: its header, and the place of its mark.
	stampBytes = 24
	// capacity is the weight of all entries together.
	capacity = math.MaxInt32
)

// stopwatch tells nanoseconds since it was started. Setting the computer's clock does not move it.
type stopwatch struct{ start time.Time }

func (s *stopwatch) NowNano() int64                      { return int64(time.Since(s.start)) }
func (s *stopwatch) Tick(time.Duration) <-chan time.Time { return nil } // entries expire when others are added

// newLocalCache returns nil if nothing is to be kept.
func newLocalCache(rdb redis.UniversalClient, c LocalCache) *localCache {
	if c.Entries <= 0 && c.Bytes <= 0 || c.Stale < 0 {
		return nil
	}
	l := &localCache{clock: &stopwatch{time.Now()}, stale: cmp.Or(c.Stale, defaultStale), seed: maphash.MakeSeed(),
		sub: script.Subscribe(rdb, maxSilence), queues: map[string]bool{}} // no channel yet: nothing is sent
	l.entries = otter.Must(&otter.Options[refcache.Ref, *entry]{
		MaximumWeight: capacity,
		Weigher:       c.weigh,
		Clock:         l.clock,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[refcache.Ref, *entry]) time.Duration {
			return time.Duration(max(1, e.Value.until-e.SnapshotAtNano))
		}),
	})
	return l
}

// weigh returns what share of capacity an entry takes: its share of Entries or of Bytes, whichever is more.
func (c LocalCache) weigh(ref refcache.Ref, e *entry) uint32 {
	room := c.Bytes
	if room <= 0 {
		room = defaultLocalBytes
	}
	size := entryBytes + len(ref) + len(e.Result)
	for _, name := range e.stamps {
		size += stampBytes + len(name)
	}
	share := float64(size) / float64(room)
	if c.Entries > 0 {
		share = max(share, 1/float64(c.Entries))
	}
	return uint32(min(math.Ceil(share*capacity), math.MaxUint32))
}

// get returns the result of a call as it would be read now, as far as this process knows; false if Redis is to be asked.
// stamps names those that the call looks at.
func (l *localCache) get(ref refcache.Ref, stamps []string) (now answer.Snapshot, ok bool) {
	e := l.find(ref, stamps)
	if e == nil {
		return now, false
	}
	now = e.Snapshot
	now.ReadAt = l.readAt(e)
	return now, true
}

// readAt is the time now by Redis's clock. It may be ahead by what the read took, so that nothing seems younger than it is.
func (l *localCache) readAt(e *entry) time.Time {
	return e.ReadAt.Add(time.Duration(l.clock.NowNano() - e.at))
}

// find returns the entry of a call, or nil if Redis is to be asked. When a result begins to be old, find answers nil
// to one caller, whose read renews it. Otherwise all callers would read at the same time when it is too old.
func (l *localCache) find(ref refcache.Ref, stamps []string) *entry {
	if l == nil {
		return nil
	}
	cached, ok := l.entries.GetEntry(ref)
	switch e := cached.Value; {
	case !ok, e.mark != l.mark(e.readMark), len(stamps) > 0 && !slices.Equal(stamps, e.stamps):
		return nil
	case cached.SnapshotAtNano >= e.renewAt && e.renewing.CompareAndSwap(false, true):
		return nil
	default:
		return e
	}
}

// beginRead takes the mark of a call that is about to be read, and listens to the messages of its queue from then on.
func (l *localCache) beginRead(ctx context.Context, ref refcache.Ref, stamps []string) readMark {
	if l == nil {
		return readMark{}
	}
	if !l.listenTo(ctx, ref.Queue()) {
		return readMark{ref: ref, mark: never}
	}
	read := readMark{ref: ref, stamps: stamps, at: l.clock.NowNano(), slot: l.slot(string(ref))}
	for _, name := range stamps {
		read.slots = append(read.slots, l.slot(name))
	}
	read.mark = l.mark(read)
	return read
}

// keep keeps the result that a read found. If the call is not complete, or there is none (the zero Snapshot), it
// removes the entry of the call. So it does if the last refresh of the call failed: no message comes when a refresh ends.
func (l *localCache) keep(read readMark, found answer.Snapshot) {
	switch {
	case l == nil:
		return
	case found.Status != refcache.Complete || found.Stale():
		l.entries.Invalidate(read.ref)
		return
	case read.mark != l.mark(read):
		return
	}
	// The time that is left is counted by Redis's clock, from the moment of the question by ours. So it does not matter
	// that the clocks differ, nor how long the answer took.
	left := found.ExpiresAt().Sub(found.ReadAt)
	until := read.at + int64(min(left, l.stale))
	res, err := answer.Response[json.RawMessage](&found)
	if until <= l.clock.NowNano() || err != nil || !res.HasValue {
		return
	}
	found.Result = res.Value
	l.entries.Set(read.ref, &entry{Snapshot: found, response: res, readMark: read, renewAt: read.at + int64(l.stale/4*3), until: until})
}

// json returns the Response of an entry with the result as JSON. The caller may change it.
func (l *localCache) json(e *entry) refcache.Response[json.RawMessage] {
	r := e.response
	r.Value = make(json.RawMessage, len(e.Result))
	copy(r.Value, e.Result)
	now := answer.Snapshot{Record: e.Record}
	now.ReadAt = l.readAt(e)
	answer.SetTimes(&r, &now)
	return r
}

// forget removes the result of a call, and keeps none that is being read now.
func (l *localCache) forget(ref refcache.Ref) {
	if l != nil {
		l.marks[l.slot(string(ref))].Add(1)
		l.entries.Invalidate(ref)
	}
}

// forgetStamped removes the results for which a stamp of this name counts, and keeps none that is being read now.
func (l *localCache) forgetStamped(name string) {
	if l != nil {
		l.marks[l.slot(name)].Add(1)
	}
}

func (l *localCache) forgetAll() {
	l.all.Add(1)
	l.entries.InvalidateAll()
}

// slot is where the mark of a ref_id or of a stamp's name stands.
func (l *localCache) slot(name string) int {
	return int(maphash.String(l.seed, name) % uint64(len(l.marks)))
}

// mark is the sum of the counters that a read depends on: none goes back, so it changes when any does.
func (l *localCache) mark(read readMark) uint64 {
	sum := l.all.Load() + l.marks[read.slot].Load()
	for _, slot := range read.slots {
		sum += l.marks[slot].Load()
	}
	return sum
}

// listenTo subscribes to the messages about a queue, once, in the background. What was read before the subscription is
// confirmed is forgotten then. It returns false if the cache is closed.
func (l *localCache) listenTo(ctx context.Context, queue string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queues == nil {
		return false
	}
	if !l.queues[queue] {
		l.queues[queue] = true
		l.goroutines.Go(func() { l.subscribe(queue) })
	}
	return true
}

func (l *localCache) subscribe(queue string) {
	l.sub.Add(store.DropsChannel(queue))
	l.receiving.Do(func() { l.goroutines.Go(func() { l.sub.Receive(l.heard) }) })
}

// heard forgets the results that a message names. A confirmation means that messages may have been missed, because it is
// the first, or that of a new connection.
func (l *localCache) heard(what any) {
	switch what := what.(type) {
	case *redis.Subscription:
		l.forgetAll()
	case *redis.Message:
		if name, ok := store.DroppedStamp(what.Payload); ok {
			l.forgetStamped(name)
		} else {
			l.forget(store.Dropped(what.Channel, what.Payload))
		}
	}
}

// close ends the subscription, waits for the goroutines, and forgets all results. It may be called more than once.
func (l *localCache) close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	l.queues = nil
	l.mu.Unlock()
	err := l.sub.Close()
	l.goroutines.Wait()
	l.entries.StopAllGoroutines()
	l.forgetAll()
	return err
}
