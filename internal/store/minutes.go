package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/redis/go-redis/v9"
)

const (
	// keepMinutes is how long a minute is kept: an hour is read, and clocks may differ.
	keepMinutes = 2 * time.Hour
	// maxMinuteFields bounds a minute of a queue, at some 40 bytes a field.
	maxMinuteFields = 2000
)

func minuteKey(queue string, minute int64) string {
	return prefix(queue) + "stats:" + strconv.FormatInt(minute, 10)
}

// What a minute counts of a function, as its fields name it.
var minuteCounts = map[string]func(*monitor.CallCounts) *int64{
	"hit":      func(c *monitor.CallCounts) *int64 { return &c.Hits },
	"stale":    func(c *monitor.CallCounts) *int64 { return &c.Stale },
	"joined":   func(c *monitor.CallCounts) *int64 { return &c.Joined },
	"miss":     func(c *monitor.CallCounts) *int64 { return &c.Misses },
	"refresh":  func(c *monitor.CallCounts) *int64 { return &c.Refreshes },
	"saved_ns": func(c *monitor.CallCounts) *int64 { return (*int64)(&c.Saved) },

	"refresh_failed": func(c *monitor.CallCounts) *int64 { return &c.RefreshesFailed },

	"complete":  func(c *monitor.CallCounts) *int64 { return &c.Complete },
	"failed":    func(c *monitor.CallCounts) *int64 { return &c.Failed },
	"cancelled": func(c *monitor.CallCounts) *int64 { return &c.Cancelled },
}

// A bucket's field is its bound in ms; that of the last one has none.
const (
	bucketField     = "ms"
	lastBucketField = "ms-over"
)

func bucketName(bucket int) string {
	bound, ok := monitor.HistogramBound(bucket)
	if !ok {
		return lastBucketField
	}
	return bucketField + strconv.FormatInt(bound.Milliseconds(), 10)
}

// bucketOf is the other way round; false when no bucket has that name.
func bucketOf(name string) (int, bool) {
	for i := range monitor.HistogramBuckets {
		if bucketName(i) == name {
			return i, true
		}
	}
	return 0, false
}

// CountMinute adds what has happened in a queue to the minute that runs. Sent again, it counts again.
func (s *Store) CountMinute(ctx context.Context, queue string, functions []monitor.FunctionStats) error {
	args := []any{keepMinutes.Milliseconds(), maxMinuteFields}
	for _, f := range functions {
		for name, of := range minuteCounts {
			if n := *of(&f.CallCounts); n != 0 {
				args = append(args, f.Func, name, n)
			}
		}
		for i, n := range f.Durations.Buckets {
			if n != 0 {
				args = append(args, f.Func, bucketName(i), n)
			}
		}
	}
	if err := s.onQueue(ctx, countScript(), queue, args...).Err(); err != nil {
		return fmt.Errorf("count what happened in queue %s: %w", queue, err)
	}
	return nil
}

// Minutes returns what has happened in some queues, all if none is named, in the last n minutes, the one that runs among them. Of a
// Cluster it returns what there is: see [InQueues].
func (s *Store) Minutes(ctx context.Context, queues []string, n int) (monitor.Stats, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return monitor.Stats{}, fmt.Errorf("read statistics: %w", err)
	}
	first := now.Unix()/60 - int64(n) + 1
	found, err := InQueues(ctx, s, queues, func(ctx context.Context, queue string) (monitor.Stats, error) {
		here := newStats(first, n)
		var err error
		here.Functions, err = s.minutes(ctx, queue, first, here.Minutes)
		return here, err
	})
	if _, partial := errors.AsType[*monitor.PartialError](err); err != nil && !partial {
		return monitor.Stats{}, err
	}
	stats := newStats(first, n)
	for _, queue := range found {
		for i, m := range queue.Told.Minutes {
			stats.Minutes[i].Add(m.CallCounts)
		}
		stats.Functions = append(stats.Functions, queue.Told.Functions...)
	}
	slices.SortFunc(stats.Functions, func(a, b monitor.FunctionStats) int {
		return strings.Compare(a.Queue+" "+a.Func, b.Queue+" "+b.Func)
	})
	return stats, err
}

// newStats has n minutes without anything, from the first one since 1970 on.
func newStats(first int64, n int) monitor.Stats {
	stats := monitor.Stats{Minutes: make([]monitor.MinuteStats, n)}
	for i := range stats.Minutes {
		stats.Minutes[i].Start = time.Unix((first+int64(i))*60, 0)
	}
	return stats
}

// minutes adds what has happened in a queue to the minutes, and returns it by function.
func (s *Store) minutes(ctx context.Context, queue string, first int64, minutes []monitor.MinuteStats) ([]monitor.FunctionStats, error) {
	pipe := s.rdb.Pipeline()
	replies := make([]*redis.MapStringStringCmd, len(minutes))
	for i := range minutes {
		replies[i] = pipe.HGetAll(ctx, minuteKey(queue, first+int64(i)))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read statistics of queue %s: %w", queue, foreign(err, queue))
	}
	byFunction := map[string]*monitor.FunctionStats{}
	for i, reply := range replies {
		for field, text := range reply.Val() {
			function, what, _ := strings.Cut(field, " ")
			count, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				continue // it is not ours
			}
			f := byFunction[function]
			if f == nil {
				f = &monitor.FunctionStats{Queue: queue, Func: function}
				byFunction[function] = f
			}
			if of := minuteCounts[what]; of != nil {
				*of(&f.CallCounts) += count
				*of(&minutes[i].CallCounts) += count
			} else if bucket, ok := bucketOf(what); ok {
				f.Durations.Buckets[bucket] += count
			}
		}
	}
	var functions []monitor.FunctionStats
	for _, f := range byFunction {
		functions = append(functions, *f)
	}
	return functions, nil
}
