package store

import (
	"context"
	"fmt"
	"time"

	"github.com/refq/refq/refcache"
)

// Entered is what became of an attempt that asked for its turn.
type Entered int

const (
	EnteredVoid  Entered = iota // its token is not current
	EnteredRuns                 // it goes on
	EnteredWaits                // the attempt is taken back: the task waits for its turn
)

// Enter has the running attempt that holds token ask for a turn, which its task has not, or has in another gate.
func (s *Store) Enter(ctx context.Context, ref refcache.Ref, token string, turn Turn) (Entered, error) {
	values, err := s.onTask(ctx, enterScript(), ref, token, turn.pack()).Slice()
	if err != nil {
		return EnteredVoid, wrap(err, "ask for the turn of", ref)
	}
	answer := reply(values)
	s.letIn(ctx, ref.Queue(), answer.at(1))
	return Entered(answer.int(0)), nil
}

// SweepGates looks after the gates of a queue: it lets in what time has freed and what was forgotten. It answers in how
// long time frees the next key, a negative value if none waits for that. Who has swept the queue calls it.
func (s *Store) SweepGates(ctx context.Context, queue string) (due time.Duration, err error) {
	for more := true; more && err == nil; {
		var values reply
		if values, err = s.onQueue(ctx, sweepGatesScript(), queue).Slice(); err != nil {
			return due, fmt.Errorf("sweep the gates of queue %s: %w", queue, foreign(err, queue))
		}
		s.letIn(ctx, queue, values.at(0))
		due, more = millis(values.int(1)), values.int(2) == 1
	}
	return due, err
}

// LetInDue lets in what time has freed, and answers in how long it frees the next key, a negative value if none waits for that.
func (s *Store) LetInDue(ctx context.Context, queue string) (due time.Duration, err error) {
	values, err := s.onQueue(ctx, dueScript(), queue).Slice()
	if err != nil {
		return -1, fmt.Errorf("let in calls of queue %s: %w", queue, foreign(err, queue))
	}
	s.letIn(ctx, queue, reply(values).at(0))
	return millis(reply(values).int(1)), nil
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// DeclaredGate is a gate as the worker of a queue declares it that counts.
type DeclaredGate struct {
	Name    string
	Numbers GateNumbers
	Since   int64 // Unix ms of the worker's start, by its clock
	Worker  string
}

// DeclareGates gives gates of a queue the numbers that living workers declare.
func (s *Store) DeclareGates(ctx context.Context, queue string, gates []DeclaredGate) error {
	var args []any
	for _, g := range gates {
		args = append(args, g.Name, g.Numbers.pack(), g.Since, g.Worker)
	}
	values, err := s.onQueue(ctx, declareScript(), queue, args...).Slice()
	if err != nil {
		return fmt.Errorf("declare the gates of queue %s: %w", queue, foreign(err, queue))
	}
	s.letIn(ctx, queue, reply(values).at(0))
	return nil
}
