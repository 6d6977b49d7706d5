package store

import (
	"context"
	"fmt"
	"time"

	"github.com/refq/refq/refcache"
)

// What [Store.Sizes] looks at, for a cost that does not grow with the queue.
const (
	sizesWorkers = 1000
	sizesPending = 16
)

// Sizes is how much there is in a queue.
type Sizes struct {
	// Tasks by status, but for the complete ones, of which Redis lists only the last.
	Tasks         map[refcache.Status]int64
	Workers       int64         // that live
	OldestPending time.Duration // how long the one of the first created pending tasks has waited that waits longest; 0: none waits
}

// Sizes counts what is in a queue, at a cost that does not grow with it.
func (s *Store) Sizes(ctx context.Context, queue string) (Sizes, error) {
	values, err := s.onQueue(ctx, sizesScript(), queue, sizesWorkers, sizesPending).Int64Slice()
	if err == nil && len(values) != 7 {
		err = fmt.Errorf("unexpected reply of %d values", len(values))
	}
	if err != nil {
		return Sizes{}, fmt.Errorf("count queue %s: %w", queue, foreign(err, queue))
	}
	return Sizes{
		Tasks: map[refcache.Status]int64{refcache.Pending: values[0], refcache.Processing: values[1], refcache.Retrying: values[2],
			refcache.Failed: values[3], refcache.Cancelled: values[4]},
		Workers: values[5], OldestPending: time.Duration(values[6]) * time.Millisecond,
	}, nil
}
