package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/refcache"
)

// Position is where a walk through the tasks of a status stands. The zero Position is the start.
type Position struct {
	score   float64 // of the last entries seen
	skip    int64   // how many entries of that score were seen
	started bool
}

// Page returns up to n refs of the tasks in a status of a queue from a position on, latest first: pending ones by
// creation, retrying ones by when they are due, ended ones by their end. It returns the next position; a page that is
// not full is the last. There is no such order for processing: see [Store.Running].
func (s *Store) Page(ctx context.Context, queue string, status refcache.Status, from Position, n int) ([]refcache.Ref, Position, error) {
	top := "+inf"
	if from.started {
		top = strconv.FormatFloat(from.score, 'f', -1, 64)
	}
	found, err := s.rdb.ZRevRangeByScoreWithScores(ctx, statusKey(queue, status),
		&redis.ZRangeBy{Max: top, Min: "-inf", Offset: from.skip, Count: int64(n)}).Result()
	if err != nil {
		return nil, from, fmt.Errorf("list %s tasks of queue %s: %w", status, queue, err)
	}
	refs := make([]refcache.Ref, len(found))
	for i, entry := range found {
		hash, _ := entry.Member.(string)
		refs[i] = refOf(queue, hash)
		if !from.started || entry.Score != from.score {
			from = Position{score: entry.Score, started: true}
		}
		from.skip++
	}
	return refs, from, nil
}

// Running returns the refs of the tasks that are processing in a queue, in no order: what the workers claim.
func (s *Store) Running(ctx context.Context, queue string) ([]refcache.Ref, error) {
	workers, err := s.rdb.ZRange(ctx, workersKey(queue), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("list workers of queue %s: %w", queue, err)
	}
	var refs []refcache.Ref
	for _, worker := range workers {
		hashes, err := s.rdb.HKeys(ctx, claimsKey(queue, worker)).Result()
		if err != nil {
			return nil, fmt.Errorf("list claims of worker %s: %w", worker, err)
		}
		for _, hash := range hashes {
			refs = append(refs, refOf(queue, hash))
		}
	}
	return refs, nil
}

// ReadAll reads tasks of a queue in one go; those that have no record are left out.
func (s *Store) ReadAll(ctx context.Context, refs []refcache.Ref) ([]Record, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	pipe := s.rdb.Pipeline()
	clock := pipe.Time(ctx)
	replies := make([]*redis.SliceCmd, len(refs))
	for i, ref := range refs {
		replies[i] = pipe.HMGet(ctx, recordKey(ref), fields...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read %d tasks: %w", len(refs), err)
	}
	now := strconv.FormatInt(clock.Val().UnixMilli(), 10)
	records := make([]Record, 0, len(refs))
	for i, ref := range refs {
		values := replies[i].Val()
		if values[slices.Index(fields, "status")] == nil {
			continue
		}
		record, err := parseRecord(ref, append([]any{now}, values...))
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}
