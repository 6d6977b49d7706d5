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
	// subscribeTimeout bounds how long the first waiter waits for the subscription. Without it, it polls.
	subscribeTimeout = time.Second
	// maxSilence is how long a subscription may hear nothing before it is tried.
	maxSilence = 3 * time.Second
)

// inbox hears of the ends of tasks, over one subscription for all waiters of the process. It is opened by the first.
type inbox struct {
	rdb     redis.UniversalClient
	store   *store.Store
	channel string

	open       sync.Once
	delivering sync.WaitGroup

	mu      sync.Mutex
	sub     *script.Subscription // nil before the first waiter
	closed  bool
	waiters map[refcache.Ref]*waiter // the first of those who wait for a task
	n       int                      // how many there are in all
}

// waiter is somebody who waits for the end of a task. There may be thousands.
type waiter struct {
	box        *inbox
	ref        refcache.Ref
	ends       chan *store.End // the latest is enough
	prev, next *waiter         // who wait for the same task
}

func newInbox(rdb redis.UniversalClient, s *store.Store, id string) *inbox {
	return &inbox{rdb: rdb, store: s, channel: store.InboxChannel(id), waiters: map[refcache.Ref]*waiter{}}
}

// wait registers a waiter, before anything is submitted or read, so that no end is missed from then on.
func (b *inbox) wait(ctx context.Context, ref refcache.Ref) *waiter {
	b.open.Do(func() { b.subscribe(ctx) })
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

// subscribe waits for the confirmation. Without it waiters poll until the subscription has mended itself.
func (b *inbox) subscribe(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.sub = script.Subscribe(b.rdb, maxSilence, b.channel)
	confirmed, given := make(chan struct{}), make(chan struct{})
	b.delivering.Go(func() {
		b.sub.Receive(func(what any) {
			select {
			case confirmed <- struct{}{}: // nobody waits yet: there is nothing that was not heard
			case <-given:
				b.deliver(what)
			}
		})
	})
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	select {
	case <-confirmed:
	case <-ctx.Done():
	}
	close(given)
}

// deliver tells waiters what the subscription hears.
func (b *inbox) deliver(what any) {
	switch what := what.(type) {
	case *redis.Message:
		if end, ok := b.store.ParseEnd(what.Payload); ok {
			b.tell(&end)
		}
	case *redis.Subscription:
		b.haveAllLook() // the connection may have broken: what was published meanwhile was not heard
	}
}

func (b *inbox) tell(end *store.End) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := b.waiters[end.Ref]; w != nil; w = w.next {
		w.tell(end)
	}
}

// haveAllLook tells every waiter of an end that it has to look for itself.
func (b *inbox) haveAllLook() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ref, first := range b.waiters {
		for w := first; w != nil; w = w.next {
			w.tell(&store.End{Ref: ref})
		}
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
	b.mu.Unlock()
	if sub == nil {
		return nil
	}
	err := sub.Close()
	b.delivering.Wait()
	return err
}
