package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/refcache"
)

// Position is where a walk through the tasks of a status stands. The zero Position is the start.
type Position struct {
	score, member string // of the last entry seen, as Redis writes them
}

// Below is the Position from which a walk meets what has an earlier time than t, and at t the tasks that come after ref in
// the order of a walk, none if ref is empty. Nor are there any of the complete ones when ref is no longer listed at t.
func Below(t time.Time, ref refcache.Ref) Position {
	return Position{strconv.FormatInt(t.UnixMilli(), 10), ref.Hash()}
}

// Entry is a task as an index has it.
type Entry struct {
	Ref refcache.Ref
	At  time.Time // what its status is ordered by; zero: there is no order
}

// Page returns up to n tasks of a status of a queue from a position on, latest first: pending ones by creation,
// retrying ones by when they are due, ended ones by their end. It returns the next position; a page that is not full is
// the last. Tasks that enter or leave the status between two pages hide and repeat no other. A task that is no longer
// complete, or again, may still have the entry: [Store.ReadAll] leaves it out. There is no such order for processing: see
// [Store.Running].
func (s *Store) Page(ctx context.Context, queue string, status refcache.Status, from Position, n int) ([]Entry, Position, error) {
	pages, args := pageScript(), []any{string(status), n, from.score, from.member}
	if status == refcache.Complete {
		pages, args = completionsScript(), args[1:]
	}
	found, err := s.onQueue(ctx, pages, queue, args...).StringSlice()
	if err != nil {
		return nil, from, fmt.Errorf("list %s tasks of queue %s: %w", status, queue, foreign(err, queue))
	}
	entries := make([]Entry, 0, len(found)/2)
	for i := 0; i+1 < len(found); i += 2 {
		from = Position{member: found[i], score: found[i+1]}
		score, _ := strconv.ParseFloat(from.score, 64) // Redis wrote it
		entries = append(entries, Entry{refOf(queue, from.member), time.UnixMilli(int64(score))})
	}
	return entries, from, nil
}

// Running returns the tasks that are processing in a queue, in no order: what the workers claim.
func (s *Store) Running(ctx context.Context, queue string) ([]Entry, error) {
	workers, err := s.rdb.ZRange(ctx, workersKey(queue), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("list workers of queue %s: %w", queue, err)
	}
	var entries []Entry
	for _, worker := range workers {
		hashes, err := s.rdb.HKeys(ctx, claimsKey(queue, worker)).Result()
		if err != nil {
			return nil, fmt.Errorf("list claims of worker %s: %w", worker, err)
		}
		for _, hash := range hashes {
			entries = append(entries, Entry{Ref: refOf(queue, hash)})
		}
	}
	return entries, nil
}

// Listed is how many tasks of a status of a queue there are to walk through, from since on; of those that are processing,
// whenever they began. Tasks whose records have expired may count, and every time that a task was complete.
func (s *Store) Listed(ctx context.Context, queue string, status refcache.Status, since time.Time) (int, error) {
	if status == refcache.Processing {
		running, err := s.Running(ctx, queue)
		return len(running), err
	}
	from := int64(0)
	if !since.IsZero() {
		from = since.UnixMilli()
	}
	n, err := s.listed(ctx, queue, status, from)
	if err != nil {
		return 0, fmt.Errorf("count %s tasks of queue %s: %w", status, queue, foreign(err, queue))
	}
	return int(n), nil
}

func (s *Store) listed(ctx context.Context, queue string, status refcache.Status, from int64) (int64, error) {
	if status == refcache.Complete {
		return s.onQueue(ctx, listedScript(), queue, from).Int64()
	}
	return s.rdb.ZCount(ctx, statusKey(queue, status), strconv.FormatInt(from, 10), "+inf").Result()
}

// Now is Redis's time; of a Cluster, that of a node that answers.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	rdb, err := script.Anywhere(ctx, s.rdb)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask Redis for the time: %w", err)
	}
	now, err := rdb.Time(ctx).Result()
	if err != nil {
		return time.Time{}, fmt.Errorf("ask Redis for the time: %w", err)
	}
	return now, nil
}

// Found is a task that a walk has come to.
type Found struct {
	Record
	At time.Time // what the walk goes by: its Entry's, or the start of the attempt that runs
	// Err says why the record cannot be read: it is refcache.ErrUnreadable. Record then has no more than Ref and, if
	// they are there, Status, LastError, Namespace and the name in Policy.
	Err error
}

// listedFields are those of a record that a walk reads.
var listedFields = append(slices.Clone(fields), "result_from", "turn")

// ReadAll reads tasks of a queue in one go. Left out are those that have no record, and entries of a complete task from
// an earlier end. One that cannot be read is found as such, and keeps none from being read.
func (s *Store) ReadAll(ctx context.Context, entries []Entry) ([]Found, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	pipe := s.rdb.Pipeline()
	clock := s.timeIn(ctx, pipe, entries[0].Ref.Queue())
	replies := make([]*redis.SliceCmd, len(entries))
	for i, e := range entries {
		replies[i] = pipe.HMGet(ctx, recordKey(e.Ref), listedFields...)
	}
	_, _ = pipe.Exec(ctx) // the first error of all; each reply has its own
	if err := clock.Err(); err != nil {
		return nil, fmt.Errorf("read %d tasks: %w", len(entries), err)
	}
	now := strconv.FormatInt(clock.Val().UnixMilli(), 10)
	all := make([]Found, 0, len(entries))
	for i, e := range entries {
		values, err := replies[i].Result()
		switch {
		case redis.HasErrorPrefix(err, "WRONGTYPE"):
			all = append(all, Found{Record: Record{Ref: e.Ref}, At: e.At, Err: damaged(e.Ref, errNoHash)})
		case err != nil:
			return nil, fmt.Errorf("read %d tasks: %w", len(entries), err)
		case values[inState] != nil:
			last := len(values) - 1
			turn := reply(values).text(last)
			values = slices.Insert(values[:last], inNow, any(now))
			if values = append(values, nil); !isOver(e, values) { // nor is its last attempt read
				found := parseFound(e, values)
				found.Turn = parseTurn(turn)
				all = append(all, found)
			}
		}
	}
	s.tellHeldUp(ctx, entries[0].Ref.Queue(), all)
	return all, nil
}

// timeIn asks the node of a queue for its time. A Cluster's client sends what has no key to any node.
func (s *Store) timeIn(ctx context.Context, pipe redis.Pipeliner, queue string) *redis.TimeCmd {
	if _, cluster := s.rdb.(*redis.ClusterClient); !cluster {
		return pipe.Time(ctx)
	}
	clock := redis.NewTimeCmd(ctx, "eval", "return redis.call('TIME')", 1, NobodysKey(queue))
	_ = pipe.Process(ctx, clock) // it is sent with the rest
	return clock
}

// isOver reports whether the task has been complete again since the entry was made: it stays in the list of completions.
func isOver(e Entry, values []any) bool {
	p := newParser(values)
	ended, err := strconv.ParseInt(p.text(atCompletedAt, ""), 10, 64) // a record that cannot be read may tell it
	complete := p.text(atStatus, "") == string(refcache.Complete)
	return complete && err == nil && !e.At.IsZero() && ended != e.At.UnixMilli()
}

// parseFound is parseRecord for a walk, which tells what it can of an unreadable record, too.
func parseFound(e Entry, values []any) Found {
	record, err := parseRecord(e.Ref, values)
	if err != nil {
		record = glimpse(e.Ref, values)
	}
	if e.At.IsZero() {
		e.At = record.StartedAt
	}
	return Found{record, e.At, err}
}

// glimpse is what can be said of an unreadable record.
func glimpse(ref refcache.Ref, values []any) Record {
	p := newParser(values)
	r := Record{Ref: ref, LastError: p.text(atLastError, ""), Policy: refcache.Policy{Name: p.text(atFunc, "")}}
	if r.Policy.Name != "" {
		r.Namespace = p.text(atNS, refcache.DefaultNamespace)
	}
	if s := refcache.Status(p.text(atStatus, "")); slices.Contains(refcache.Statuses, s) {
		r.Status = s
	}
	return r
}
