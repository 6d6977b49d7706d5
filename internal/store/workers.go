package store

import (
	"context"
	"fmt"

	"github.com/refq/refq/refcache"
)

// Beat says that a worker lives and runs the given attempts of a queue; about describes the worker. It answers which
// of the attempts are void, and which claims the worker holds without naming them.
func (s *Store) Beat(ctx context.Context, queue, worker, about string, runs []Claim) (void, unknown []Claim, err error) {
	args := []any{worker, about}
	for _, c := range runs {
		args = append(args, c.Ref.Hash(), c.Token)
	}
	answer, err := s.onQueue(ctx, beatScript, queue, args...).Slice()
	if err != nil {
		return nil, nil, fmt.Errorf("beat of worker %s in queue %s: %w", worker, queue, err)
	}
	return claims(queue, reply(answer).texts(0)), claims(queue, reply(answer).texts(1)), nil
}

func claims(queue string, pairs []string) []Claim {
	var found []Claim
	for i := 0; i+1 < len(pairs); i += 2 {
		found = append(found, Claim{refOf(queue, pairs[i]), pairs[i+1]})
	}
	return found
}

// DropWorker forgets a worker that holds no claims, if it is dead or if it asks itself: by is who asks.
func (s *Store) DropWorker(ctx context.Context, queue, worker, by string) error {
	if err := s.onQueue(ctx, dropWorkerScript, queue, worker, by).Err(); err != nil {
		return fmt.Errorf("drop worker %s of queue %s: %w", worker, queue, err)
	}
	return nil
}

// Orphan is a claim of a worker that is dead.
type Orphan struct {
	Worker string
	Claim
}

// Swept is what a sweep of a queue found.
type Swept struct {
	Mine    bool // false: another sweeper was here within the second, nothing was looked at
	Orphans []Orphan
	Idle    []string       // dead workers without claims
	Silent  []refcache.Ref // waiting or overdue for so long that a doorbell may be missing
}

// Sweep looks at up to batch entries of each set of a queue.
func (s *Store) Sweep(ctx context.Context, queue string, batch int) (Swept, error) {
	values, err := s.onQueue(ctx, sweepScript, queue, batch).Slice()
	if isNil(err) {
		return Swept{}, nil
	}
	if err != nil {
		return Swept{}, fmt.Errorf("sweep queue %s: %w", queue, err)
	}
	answer := reply(values)
	found := Swept{Mine: true, Idle: answer.texts(1)}
	orphans := answer.texts(0)
	for i := 0; i+2 < len(orphans); i += 3 {
		found.Orphans = append(found.Orphans, Orphan{orphans[i], Claim{refOf(queue, orphans[i+1]), orphans[i+2]}})
	}
	for _, hash := range answer.texts(2) {
		found.Silent = append(found.Silent, refOf(queue, hash))
	}
	return found, nil
}
