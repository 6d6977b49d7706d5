// Package store keeps the tasks in Redis. Each change of a task is one Lua script: atomic, safe to send twice, and
// refused to whoever does not hold the attempt's token.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/refcache"
)

// Store reads and writes tasks. It is safe for concurrent use.
type Store struct {
	rdb    redis.UniversalClient
	zip    compressor
	errors *errorCounts
	names  *names                    // of queues
	silent map[string]error          // see Skipping
	flagBy func(queue string) string // see FlagBy
	ring   func(ctx context.Context, tasks []Record)
}

// New returns a Store that uses rdb, which the caller closes.
func New(rdb redis.UniversalClient) *Store {
	return &Store{rdb: rdb, names: namesOf(rdb), zip: newCompressor(), errors: &errorCounts{counts: map[string]int64{}}}
}

// Rings names who enqueues doorbells for tasks that a script has let in, because their turn has come. Without one it is left to
// sweeps. It is called before the Store is used.
func (s *Store) Rings(ring func(ctx context.Context, tasks []Record)) { s.ring = ring }

// letIn rings for the tasks that a script has let in: hash, state, policy, ...
func (s *Store) letIn(ctx context.Context, queue string, answer any) {
	values, _ := answer.([]any)
	var tasks []Record
	for i := 0; i+2 < len(values); i += 3 {
		ref := refOf(queue, reply(values).text(i))
		if task, err := parseRecord(ref, []any{values[i+1], values[i+2], nil, nil, nil, nil}); err == nil { // who claims it is told why
			tasks = append(tasks, task)
		}
	}
	if s.ring != nil && len(tasks) > 0 {
		s.ring(context.WithoutCancel(ctx), tasks)
	}
}

func isNil(err error) bool { return errors.Is(err, redis.Nil) }

// wrap says what was asked of which task. Redis's nil means that there is no record.
func wrap(err error, operation string, ref refcache.Ref) error {
	if isNil(err) {
		err = refcache.ErrTaskNotFound
	}
	if cause, found := damageIn(err); found {
		return damaged(ref, cause)
	}
	if version, found := newerIn(err); found {
		return newer(ref, version)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", operation, ref, foreign(err, ref.Queue()))
	}
	return nil
}

// CheckNamespace makes a call look as if there were none to who means those of another namespace.
func CheckNamespace(means string, ref refcache.Ref, is string) error {
	if means == is || means == refcache.AllNamespaces {
		return nil
	}
	return wrap(redis.Nil, "read", ref)
}

// foreign says of an error that a key of the queue has another type than ours, if it is about that.
func foreign(err error, queue string) error {
	if strings.Contains(err.Error(), "WRONGTYPE ") {
		return fmt.Errorf("one of the keys refq:{%s}:* is not refq's: %w", queue, err)
	}
	return err
}

// reply is an array that a script returned.
type reply []any

func (r reply) at(i int) any {
	if i < len(r) {
		return r[i]
	}
	return nil
}

func (r reply) text(i int) string { s, _ := r.at(i).(string); return s }
func (r reply) int(i int) int64   { n, _ := r.at(i).(int64); return n }
func (r reply) texts(i int) []string {
	values, _ := r.at(i).([]any)
	texts := make([]string, len(values))
	for n, v := range values {
		texts[n], _ = v.(string)
	}
	return texts
}

// recordFrom runs a script on a task that answers with the record alone.
func recordFrom(cmd *redis.Cmd, operation string, ref refcache.Ref) (Record, error) {
	answer, err := cmd.Slice()
	if err != nil {
		return Record{}, wrap(err, operation, ref)
	}
	return parseRecord(ref, answer)
}

// outcomeAndRecord runs a script on a task that answers with an outcome and the record.
func outcomeAndRecord(cmd *redis.Cmd, operation string, ref refcache.Ref) (reply, Record, error) {
	answer, err := cmd.Slice()
	if err != nil {
		return nil, Record{}, wrap(err, operation, ref)
	}
	record, err := parseRecord(ref, reply(answer).at(1))
	return answer, record, err
}
