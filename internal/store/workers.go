package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/refcache"
)

// Beat is what a worker says of itself in a queue.
type Beat struct {
	Worker string
	Queue  string
	About  string  // what it is: an [About] as JSON
	Runs   []Claim // attempts of the queue

	Declares string // hash of the text that it declares its functions by; empty: it declares none
	Text     string // that text, to be kept for 10 minutes; empty: it is there
	Renew    bool   // have the text that is there kept for 10 minutes more

	Gates map[string]GateNumbers // of the functions that it handles in the queue, by name; told with Text and with Renew
}

// Beaten is the answer to a Beat.
type Beaten struct {
	Void    []Claim  // attempts that it runs in vain
	Unknown []Claim  // that it holds without naming them
	Gone    bool     // the text that it declares is not there
	Aside   bool     // doorbells are set aside in the queue, under whatever name
	Paused  []string // what is paused in the queue, for [Known.Paused]
}

// Heartbeat says that a worker lives.
func (s *Store) Heartbeat(ctx context.Context, queue string, b Beat) (Beaten, error) {
	b.Queue = queue
	beaten, errs := s.HeartbeatMany(ctx, []Beat{b})
	return beaten[0], errs[0]
}

// HeartbeatMany is Heartbeat in the queues that the beats name, in one round trip. The answers are in the order of the beats, and so
// are the errors, one for each.
func (s *Store) HeartbeatMany(ctx context.Context, beats []Beat) ([]Beaten, []error) {
	uses := make([]script.Use, len(beats))
	for i, b := range beats {
		args := []any{b.Worker, b.About, b.Declares, b.Text, b.Renew, b.gates()}
		for _, c := range b.Runs {
			args = append(args, c.Ref.Hash(), c.Token)
		}
		uses[i] = script.Use{Keys: aboutQueue(b.Queue), Args: args}
	}
	all, errs := make([]Beaten, len(beats)), make([]error, len(beats))
	answers := script.RunAll(ctx, s.rdb, heartbeatScript(), uses)
	for i, b := range beats {
		values, err := s.counted(heartbeatScript(), answers[i]).Slice()
		if err != nil {
			errs[i] = fmt.Errorf("beat of worker %s in queue %s: %w", b.Worker, b.Queue, err)
			continue
		}
		answer := reply(values)
		s.letIn(ctx, b.Queue, answer.at(5))
		all[i] = Beaten{claims(b.Queue, answer.texts(0)), claims(b.Queue, answer.texts(1)), answer.int(2) == 1, answer.int(3) == 1,
			answer.texts(4)}
	}
	return all, errs
}

// gates are since when the worker runs, and the names and numbers of the gates, joined by spaces; empty if there are none.
func (b Beat) gates() string {
	var about About
	if len(b.Gates) == 0 || json.Unmarshal([]byte(b.About), &about) != nil {
		return ""
	}
	words := []string{strconv.FormatInt(about.Since, 10)}
	for _, name := range slices.Sorted(maps.Keys(b.Gates)) {
		words = append(words, name, b.Gates[name].pack())
	}
	return strings.Join(words, " ")
}

func claims(queue string, pairs []string) []Claim {
	var found []Claim
	for i := 0; i+1 < len(pairs); i += 2 {
		found = append(found, Claim{refOf(queue, pairs[i]), pairs[i+1]})
	}
	return found
}

// RemoveWorker forgets a worker that holds no claims, if it is dead or if it asks itself: by is who asks.
func (s *Store) RemoveWorker(ctx context.Context, queue, worker, by string) error {
	if err := s.onQueue(ctx, removeWorkerScript(), queue, worker, by).Err(); err != nil {
		return fmt.Errorf("drop worker %s of queue %s: %w", worker, queue, err)
	}
	return nil
}

// Leave is [Store.RemoveWorker] for a worker that leaves its queues itself, in one round trip. It answers an error for each queue
// that it could not leave.
func (s *Store) Leave(ctx context.Context, queues []string, worker string) (errs []error) {
	uses := make([]script.Use, len(queues))
	for i, queue := range queues {
		uses[i] = script.Use{Keys: aboutQueue(queue), Args: []any{worker, worker}}
	}
	for i, answer := range script.RunAll(ctx, s.rdb, removeWorkerScript(), uses) {
		if err := s.counted(removeWorkerScript(), answer).Err(); err != nil {
			errs = append(errs, fmt.Errorf("leave queue %s: %w", queues[i], err))
		}
	}
	return errs
}

// Orphan is a claim of a worker that is dead.
type Orphan struct {
	Worker string
	Claim
}

// Waiting is a task that has waited, or been overdue, for so long that a doorbell may be missing.
type Waiting struct {
	Ref      refcache.Ref
	Delivery int
	Ready    time.Time // since when it can be claimed, by Redis's clock
}

// Swept is what a sweep of a queue found.
type Swept struct {
	Mine    bool // false: another sweeper was here within the second, nothing was looked at
	Orphans []Orphan
	Idle    []string // dead workers without claims
	Silent  []Waiting
	Gates   bool // there are gates: SweepGates is to follow
	First   bool // no sweep is on record: there was none, or Redis has lost everything
	Quiet   bool // nothing waits, and there is no other worker that could have died
	More    bool // the walk through those that wait is not at its end
}

// Sweep looks at up to batch entries of each set of a queue. With goOn it does so although a sweep has just been: for
// the one that swept, and found much to mend. The keys of the hashes of the queue's doorbells begin with doorbells.
// worker is told what is due soon.
func (s *Store) Sweep(ctx context.Context, queue string, batch int, goOn bool, doorbells, worker string) (Swept, error) {
	values, err := s.onQueue(ctx, sweepScript(), queue, batch, goOn, doorbells, s.flag(queue), worker).Slice()
	if isNil(err) {
		return Swept{}, nil
	}
	if err != nil {
		return Swept{}, fmt.Errorf("sweep queue %s: %w", queue, foreign(err, queue))
	}
	answer := reply(values)
	found := Swept{Mine: true, Idle: answer.texts(1), More: answer.int(3) == 1, First: answer.int(4) == 1, Quiet: answer.int(5) == 1, Gates: answer.int(6) == 1}
	orphans := answer.texts(0)
	for i := 0; i+2 < len(orphans); i += 3 {
		found.Orphans = append(found.Orphans, Orphan{orphans[i], Claim{refOf(queue, orphans[i+1]), orphans[i+2]}})
	}
	silent := answer.texts(2)
	for i := 0; i+2 < len(silent); i += 3 {
		delivery, _ := strconv.Atoi(silent[i+1]) // what is no number is nobody's: new_delivery answers what there is
		ready, _ := strconv.ParseInt(silent[i+2], 10, 64)
		found.Silent = append(found.Silent, Waiting{refOf(queue, silent[i]), delivery, time.UnixMilli(ready)})
	}
	return found, nil
}
