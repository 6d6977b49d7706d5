// Package live lets many viewers follow the same thing for the price of one: however many there are in this process, it
// is looked at once.
package live

import (
	"context"
	"sync"
)

// Shared has things that are followed while somebody watches them, each by a goroutine of its own. It may be used
// concurrently.
type Shared[K comparable, T any] struct {
	follow Follow[K, T]

	mu     sync.Mutex
	topics map[K]*topic[T]
}

// Follow looks at the thing of a key until ctx ends, and tells how that stands, first as soon as it knows, and then
// whenever it has changed: each tell is a change to all who watch. From joined it hears that somebody came who may know
// more than was told: it looks soon.
type Follow[K comparable, T any] func(ctx context.Context, key K, joined <-chan struct{}, tell func(T))

// NewShared returns things that follow follows.
func NewShared[K comparable, T any](follow Follow[K, T]) *Shared[K, T] {
	return &Shared[K, T]{follow: follow, topics: map[K]*topic[T]{}}
}

// topic is a thing that somebody watches.
type topic[T any] struct {
	viewers int // under Shared.mu
	stop    context.CancelFunc
	joined  chan struct{} // has room for one
	ended   chan struct{} // closed when nobody follows any more

	mu  sync.Mutex
	now state[T]
}

// state is how a thing stands. Viewers hold one each, and nothing else is kept for them: a slow one passes over some.
type state[T any] struct {
	value  T
	number int           // 0: nothing was told yet
	past   chan struct{} // closed when the next state is there
}

// Watch begins to watch the thing of a key: what happens from now on is not missed. The caller ends it by [Viewer.Leave].
func (s *Shared[K, T]) Watch(key K) *Viewer[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[key]
	if t == nil {
		ctx, stop := context.WithCancel(context.Background())
		t = &topic[T]{stop: stop, joined: make(chan struct{}, 1), ended: make(chan struct{}), now: state[T]{past: make(chan struct{})}}
		s.topics[key] = t
		go func() {
			defer close(t.ended)
			s.follow(ctx, key, t.joined, t.tell)
		}()
	} else {
		select {
		case t.joined <- struct{}{}:
		default:
		}
	}
	t.viewers++
	return &Viewer[T]{topic: t, leave: sync.OnceFunc(func() { s.leave(key, t) })}
}

// leave ends the following with the last viewer, and waits for its end.
func (s *Shared[K, T]) leave(key K, t *topic[T]) {
	s.mu.Lock()
	t.viewers--
	last := t.viewers == 0
	if last {
		delete(s.topics, key)
	}
	s.mu.Unlock()
	if last {
		t.stop()
		<-t.ended
	}
}

// Watched returns how many things are followed.
func (s *Shared[K, T]) Watched() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.topics)
}

func (t *topic[T]) tell(value T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.now.past)
	t.now = state[T]{value, t.now.number + 1, make(chan struct{})}
}

func (t *topic[T]) look() state[T] {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

// Viewer watches one thing. It is for one goroutine.
type Viewer[T any] struct {
	topic *topic[T]
	seen  int
	leave func()
}

// Next returns how the thing stands, as soon as that is something that the Viewer has not seen: the latest, if there were
// several. The error is why ctx ended.
func (v *Viewer[T]) Next(ctx context.Context) (T, error) {
	for {
		now := v.topic.look()
		if now.number != v.seen {
			v.seen = now.number
			return now.value, nil
		}
		select {
		case <-now.past:
		case <-ctx.Done():
			var none T
			return none, context.Cause(ctx)
		}
	}
}

// Skip takes what was told up to now for seen.
func (v *Viewer[T]) Skip() { v.seen = v.topic.look().number }

// Leave ends the watch. With the last viewer of a thing it returns when that is not followed any more. Leaving again does
// nothing.
func (v *Viewer[T]) Leave() { v.leave() }
