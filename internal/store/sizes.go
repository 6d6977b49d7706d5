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
	sizesAside   = 100
)

// Sizes is how much there is in a queue.
type Sizes struct {
	// Tasks by status, but for the complete ones, of which Redis lists only the last.
	Tasks         map[refcache.Status]int64
	Workers       int64         // that live
	OldestPending time.Duration // how long the one of the first created pending tasks has waited that waits longest; 0: none waits
	// OldestProcessing is how long the attempt has run that runs longest, as living workers told last; 0: none is told of.
	OldestProcessing time.Duration
	// Aside is how many doorbells of calls that their takers did not know are set aside, by function and version; of up to 100.
	Aside map[string]int64
}

// Sizes counts what is in a queue, at a cost that does not grow with it.
func (s *Store) Sizes(ctx context.Context, queue string) (Sizes, error) {
	answer, err := s.onQueue(ctx, sizesScript(), queue, sizesWorkers, sizesPending, sizesAside).Slice()
	if err == nil && len(answer) < 9 {
		err = fmt.Errorf("unexpected reply of %d values", len(answer))
	}
	if err != nil {
		return Sizes{}, fmt.Errorf("count queue %s: %w", queue, foreign(err, queue))
	}
	values := reply(answer)
	sizes := Sizes{
		Tasks: map[refcache.Status]int64{refcache.Waiting: values.int(0), refcache.Pending: values.int(1),
			refcache.Processing: values.int(2), refcache.Retrying: values.int(3), refcache.Failed: values.int(4),
			refcache.Cancelled: values.int(5)},
		Workers: values.int(6), OldestPending: time.Duration(values.int(7)) * time.Millisecond,
		OldestProcessing: time.Duration(values.int(8)) * time.Millisecond,
	}
	if len(values) > 9 {
		sizes.Aside = map[string]int64{}
	}
	for i := 9; i+1 < len(values); i += 2 {
		sizes.Aside[values.text(i)] = values.int(i + 1)
	}
	return sizes, nil
}
