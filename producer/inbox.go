package producer

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

const (
	// subscribeTimeout bounds how long waiters wait for the subscription to a queue. Without it, they poll.
	subscribeTimeout = time.Second
	// maxSilence is how long a subscription may hear nothing before it is tried.
	maxSilence = 3 * time.Second
)

// inbox hears of the ends of tasks, over one subscription for all waiters of the process. The first waiter opens it, and
// the first in a queue adds that queue.
type inbox struct {
	rdb   redis.UniversalClient
	store *store.Store
	id    string

	delivering sync.WaitGroup

	mu      sync.Mutex
	sub     *script.Subscription // nil before the first waiter
	closed  bool
	queues  map[string]*opening      // by channel
	waiters map[refcache.Ref]*waiter // the first of those who wait for a task
	n       int                      // how many there are in all
}

// opening is the subscription to a queue as it begins.
type opening struct {
	over  chan struct{} // closed when the subscription is confirmed, or has taken too long
	limit *time.Timer
}

// waiter is somebody who waits for the end of a task. There may be thousands.
type waiter struct {
	box        *inbox
	ref        refcache.Ref
	ends       chan *store.End // the latest is enough
	prev, next *waiter         // who wait for the same task
}

func newInbox(rdb redis.UniversalClient, s *store.Store, id string) *inbox {
	return &inbox{rdb: rdb, store: s, id: id, queues: map[string]*opening{}, waiters: map[refcache.Ref]*waiter{}}
}

// wait registers a waiter, before anything is submitted or read, so that no end is missed from then on.
func (b *inbox) wait(ctx context.Context, ref refcache.Ref) *waiter {
	b.listenTo(ctx, ref.Queue())
	w := &waiter{box: b, ref: ref, ends: make(chan *store.End, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.next = b.waiters[ref]; w.next != nil {
		w.next.prev = w
	}
	b.waiters[ref] = w
	b.n++
	return w
}

// count is how many waiters there are.
func (b *inbox) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n
}

// inTurn is how long a waiter waits before it polls, which in a crowd is longer than it wants.
func (b *inbox) inTurn(wait time.Duration) time.Duration {
	return max(wait, time.Duration(b.count())*pollOfEach)
}

// stop ends the waiting, once.
func (w *waiter) stop() {
	b := w.box
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n--
	if w.next != nil {
		w.next.prev = w.prev
	}
	switch {
	case w.prev != nil:
		w.prev.next = w.next
	case w.next != nil:
		b.waiters[w.ref] = w.next
	default:
		delete(b.waiters, w.ref)
	}
}

// listenTo waits until the ends of a queue's tasks are heard, if that is new. Without it waiters poll until the
// subscription has mended itself.
func (b *inbox) listenTo(ctx context.Context, queue string) {
	o := b.open(store.InboxChannel(queue, b.id))
	if o == nil {
		return
	}
	select {
	case <-o.over:
	case <-ctx.Done():
	}
}

// open subscribes to a channel, once. It returns nil when the inbox is closed.
func (b *inbox) open(channel string) *opening {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.queues[channel]
	if o != nil || b.closed {
		return o
	}
	if b.sub == nil {
		sub := script.Subscribe(b.rdb, maxSilence)
		b.sub = sub
		b.delivering.Go(func() { sub.Receive(b.deliver) })
	}
	o = &opening{over: make(chan struct{})}
	o.limit = time.AfterFunc(subscribeTimeout, func() { close(o.over) })
	b.queues[channel] = o
	b.sub.Add(channel)
	return o
}

// deliver tells waiters what the subscription hears.
func (b *inbox) deliver(what any) {
	switch what := what.(type) {
	case *redis.Message:
		if end, ok := b.store.ParseEnd(what.Payload); ok {
			b.tell(&end)
		}
	case *redis.Subscription:
		b.confirmed(what.Channel)
	}
}

// confirmed ends the opening of a channel. After that the connection has broken, and what was published meanwhile was not
// heard: all who wait there have to look.
func (b *inbox) confirmed(channel string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.queues[channel]; o != nil && o.limit.Stop() {
		close(o.over) // nobody waits yet: there is nothing that was not heard
		return
	}
	for ref, first := range b.waiters {
		if store.InboxChannel(ref.Queue(), b.id) != channel {
			continue
		}
		for w := first; w != nil; w = w.next {
			w.tell(&store.End{Ref: ref})
		}
	}
}

func (b *inbox) tell(end *store.End) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := b.waiters[end.Ref]; w != nil; w = w.next {
		w.tell(end)
	}
}

// tell replaces what was told and not looked at yet.
func (w *waiter) tell(end *store.End) {
	select {
	case <-w.ends:
	default:
	}
	w.ends <- end
}

// close ends the subscription, and returns when nothing of it runs any more.
func (b *inbox) close() error {
	b.mu.Lock()
	sub := b.sub
	b.sub, b.closed = nil, true
	for _, o := range b.queues {
		if o.limit.Stop() {
			close(o.over)
		}
	}
	b.mu.Unlock()
	if sub == nil {
		return nil
	}
	err := sub.Close()
	b.delivering.Wait()
	return err
}
