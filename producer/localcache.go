package producer

import (
	"cmp"
	"context"
	"encoding/json"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// LocalCache says how many results of complete calls a Producer keeps in its memory, to answer [Do], [Call], [Wait] and [Get]
// from without asking Redis. The zero LocalCache keeps none.
//
// What is kept is dropped when the call is deleted or run again, by whomever: at once in this Producer, within
// milliseconds, by a message, in all others. It expires with the call's record, and is never older than Stale.
// Everybody gets a value of their own. [Submit], [CallMany], calls with [Refresh] and Producer.Info always ask Redis.
type LocalCache struct {
	// Entries is how many results are kept at most; zero or negative: as many as Bytes has room for.
	Entries int
	// Bytes is how much memory they take at most, what belongs to them included, the results not compressed. Zero or
	// negative: 64 MiB if Entries is positive, else nothing is kept.
	Bytes int64
	// Stale is how old an answer may be: as long as that a result is served from memory after it was read, then it is
	// read again. It matters when no message comes: when one is lost, when Redis is flushed, fails over or evicts keys.
	// Default 1 s; negative: nothing is kept.
	Stale time.Duration
}

const (
	defaultLocalBytes = 64 << 20
	defaultStale      = time.Second
	// entryBytes is about what an entry takes besides its result: the record, the ref_id, and its places in the cache.
	entryBytes = 1280
)

// localCache holds results of complete calls. A nil localCache keeps nothing. It is safe for concurrent use.
//
// Nothing that was read before a message came is served after it. Each read notes the mark of its ref_id before it asks
// Redis; messages change marks; and what was read under another mark than the present one counts as absent, whether it
// is in the cache already or on its way.
type localCache struct {
	clock   *stopwatch
	stale   time.Duration
	entries *otter.Cache[refcache.Ref, *kept]

	all   atomic.Uint64       // part of every mark
	marks [1024]atomic.Uint64 // several ref_ids share one, at the price of a read now and then
	seed  maphash.Seed

	sub        *redis.PubSub
	mu         sync.Mutex
	queues     map[string]bool // that are listened to; nil when closed
	goroutines sync.WaitGroup
	listen     sync.Once
}

// kept is a result in memory. Nobody may change it.
type kept struct {
	answer.Snapshot
	response refcache.Response[json.RawMessage] // ready but for what each caller gets of its own
	asked                                       // when it was read, at the latest
	renewAt  int64                              // from when on it is to be read again, by one who needs it
	until    int64                              // when it expires
	renewing atomic.Bool
}

// asked is the beginning of a read: what it finds was true after it.
type asked struct {
	ref  refcache.Ref
	at   int64 // by the stopwatch
	slot int   // of the mark
	mark uint64
}

// never is a mark that no slot gets.
const never = math.MaxUint64

// stopwatch tells nanoseconds since it was started. Setting the clock does not move it.
type stopwatch struct{ start time.Time }

func (s *stopwatch) NowNano() int64                      { return int64(time.Since(s.start)) }
func (s *stopwatch) Tick(time.Duration) <-chan time.Time { return nil } // what has expired goes when others come

// newLocalCache returns nil if nothing is to be kept.
func newLocalCache(rdb redis.UniversalClient, c LocalCache) *localCache {
	if c.Entries <= 0 && c.Bytes <= 0 || c.Stale < 0 {
		return nil
	}
	l := &localCache{clock: &stopwatch{time.Now()}, stale: cmp.Or(c.Stale, defaultStale), seed: maphash.MakeSeed(),
		sub: rdb.Subscribe(context.Background()), queues: map[string]bool{}} // no channel yet: nothing is sent
	l.entries = otter.Must(&otter.Options[refcache.Ref, *kept]{
		MaximumWeight: capacity,
		Weigher:       c.weigh,
		Clock:         l.clock,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[refcache.Ref, *kept]) time.Duration {
			return time.Duration(max(1, e.Value.until-e.SnapshotAtNano))
		}),
	})
	return l
}

// capacity is how finely the room is divided.
const capacity = math.MaxInt32

// weigh returns the share of the whole room that an entry takes up: of the entries or of the bytes, whichever is more.
func (c LocalCache) weigh(ref refcache.Ref, k *kept) uint32 {
	most := c.Bytes
	if most <= 0 {
		most = defaultLocalBytes
	}
	share := float64(entryBytes+len(ref)+len(k.Result)) / float64(most)
	if c.Entries > 0 {
		share = max(share, 1/float64(c.Entries))
	}
	return uint32(min(math.Ceil(share*capacity), math.MaxUint32))
}

// get returns a complete task, or nil when it is not known. When what is known begins to be old,
// one of those who ask is told that it is not, so that its read renews it: else all would read when it is too old.
func (l *localCache) get(ref refcache.Ref) *kept {
	if l == nil {
		return nil
	}
	e, ok := l.entries.GetEntry(ref)
	switch k := e.Value; {
	case !ok, k.mark != l.mark(k.slot):
		return nil
	case e.SnapshotAtNano >= k.renewAt && k.renewing.CompareAndSwap(false, true):
		return nil
	default:
		return k
	}
}

// ask begins a read.
func (l *localCache) ask(ctx context.Context, ref refcache.Ref) asked {
	if l == nil {
		return asked{}
	}
	if !l.hear(ctx, ref.Queue()) {
		return asked{ref: ref, mark: never}
	}
	slot := l.slot(ref)
	return asked{ref, l.clock.NowNano(), slot, l.mark(slot)}
}

// keep keeps what a read found, the zero Snapshot if there is no such task. If it is not complete, nor is it for others.
func (l *localCache) keep(a asked, found answer.Snapshot) {
	switch {
	case l == nil:
		return
	case found.Status != refcache.Complete:
		l.entries.Invalidate(a.ref)
		return
	case a.mark != l.mark(a.slot):
		return
	}
	// That Redis's clock differs from ours does not matter, nor how long the answer took: what is left by Redis's clock
	// counts from when it was asked.
	left := found.ExpiresAt().Sub(found.ReadAt)
	until := a.at + int64(min(left, l.stale))
	res, err := answer.Response[json.RawMessage](&found)
	if until <= l.clock.NowNano() || err != nil || !res.HasValue {
		return
	}
	found.Result = res.Value
	l.entries.Set(a.ref, &kept{Snapshot: found, response: res, asked: a, renewAt: a.at + int64(l.stale/4*3), until: until})
}

// json returns the response with the result as JSON. The caller may do with it what it likes.
func (k *kept) json() refcache.Response[json.RawMessage] {
	r := k.response
	r.Value = make(json.RawMessage, len(k.Result))
	copy(r.Value, k.Result)
	answer.SetTimes(&r, k.StartedAt, k.CompletedAt, *k.response.ExpiresAt)
	return r
}

// drop forgets a task, and what is being read of it.
func (l *localCache) drop(ref refcache.Ref) {
	if l != nil {
		l.marks[l.slot(ref)].Add(1)
		l.entries.Invalidate(ref)
	}
}

func (l *localCache) dropAll() {
	l.all.Add(1)
	l.entries.InvalidateAll()
}

func (l *localCache) slot(ref refcache.Ref) int {
	return int(maphash.String(l.seed, string(ref)) % uint64(len(l.marks)))
}

// mark is the sum of two counters: it changes when either does.
func (l *localCache) mark(slot int) uint64 {
	return l.all.Load() + l.marks[slot].Load()
}

// hear sees to it that the messages about a queue are heard, without waiting for that. What was read before they are
// is dropped when Redis confirms that they will be. False: the cache is closed.
func (l *localCache) hear(ctx context.Context, queue string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queues == nil {
		return false
	}
	if !l.queues[queue] {
		l.queues[queue] = true
		l.goroutines.Go(func() { l.subscribe(context.WithoutCancel(ctx), queue) })
	}
	return true
}

func (l *localCache) subscribe(ctx context.Context, queue string) {
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	_ = l.sub.Subscribe(ctx, store.DropsChannel(queue)) // if it fails, the receiver repeats it
	l.listen.Do(func() { l.goroutines.Go(l.receive) })
}

// receive drops what messages name, until the subscription is closed. A confirmation means that messages may have been
// missed: it is the first, or that of a new connection.
func (l *localCache) receive() {
	for m := range l.sub.ChannelWithSubscriptions() {
		switch m := m.(type) {
		case *redis.Subscription:
			l.dropAll()
		case *redis.Message:
			l.drop(store.Dropped(m.Channel, m.Payload))
		}
	}
}

// close ends the subscription, forgets all, and returns when nothing runs any more.
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
	l.dropAll()
	return err
}
