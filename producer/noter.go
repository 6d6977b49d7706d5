package producer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
)

const (
	// noteTimeout is how long one try to list a queue may take.
	noteTimeout = 5 * time.Second
	// notedAtEnd is how long queues that are not listed hold up Close.
	notedAtEnd = time.Second
	// What could not be listed is tried again after firstNoteRest, and up to longestNoteRest if that fails.
	firstNoteRest   = 100 * time.Millisecond
	longestNoteRest = 5 * time.Second
)

// noter lists the queues that calls were made in, for those who look: refq's list and asynq's. Of a Cluster these live
// on whatever nodes, so no call waits for them. Workers list their queues, too, from time to time.
type noter struct {
	store *store.Store
	queue *queue.Client
	waits bool // for the first try: the lists are where the calls are

	ctx     context.Context // ends with Close
	end     context.CancelFunc
	running sync.WaitGroup // a goroutine for each queue that is not listed yet

	mu     sync.Mutex
	closed bool
	queues map[string]bool // all that were used; true: it is listed, or is being
}

func newNoter(rdb redis.UniversalClient, s *store.Store, q *queue.Client) *noter {
	_, cluster := rdb.(*redis.ClusterClient)
	ctx, end := context.WithCancel(context.Background())
	return &noter{store: s, queue: q, waits: !cluster, ctx: ctx, end: end, queues: map[string]bool{}}
}

// used notes that a call was made in a queue, and has the queue listed, once, if the call began something there.
func (n *noter) used(ctx context.Context, queue string, begins bool) {
	tried := n.begin(queue, begins)
	if tried == nil || !n.waits {
		return
	}
	select {
	case <-tried:
	case <-ctx.Done():
	}
}

// begin has a queue listed in the background. The channel is closed after the first try; it is nil if there is nothing to do.
func (n *noter) begin(queue string, begins bool) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.queues[queue] || n.closed {
		return nil
	}
	n.queues[queue] = begins
	n.store.Knows(queue)
	if !begins {
		return nil
	}
	tried := make(chan struct{})
	n.running.Go(func() { n.list(queue, tried) })
	return tried
}

// names are the queues that were used.
func (n *noter) names() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Keys(n.queues))
}

// list tries until the queue is listed. It closes tried after the first time.
func (n *noter) list(queue string, tried chan struct{}) {
	err := n.try(queue)
	close(tried)
	for rest := firstNoteRest; err != nil; rest = min(2*rest, longestNoteRest) {
		select {
		case <-time.After(rest):
		case <-n.ctx.Done():
			return
		}
		err = n.try(queue)
	}
}

func (n *noter) try(queue string) error {
	ctx, cancel := context.WithTimeout(n.ctx, noteTimeout)
	defer cancel()
	return errors.Join(n.store.AddQueue(ctx, queue), n.queue.NoteQueue(ctx, queue))
}

// close waits until all queues are listed, but not for long.
func (n *noter) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	late := time.AfterFunc(notedAtEnd, n.end)
	defer late.Stop()
	n.running.Wait()
	n.end()
}
