package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/refcache"
)

// Submission is a call as a producer makes it.
type Submission struct {
	Request   string // once per call of the API, the same in every resend
	Inbox     string // channel to be told of the end; empty: none
	Namespace string
	Policy    refcache.Policy
	Args      []byte // canonical
	Trace     string // where the spans of its attempts belong; empty: it is not traced

	MaxAge time.Duration // start anew a result whose attempt began longer ago, and wait; 0: however old it is
	Fresh  time.Duration // start anew a result whose attempt began longer ago, which still answers; 0: however old it is

	// Stamps names the stamps that count: what an attempt made that began at the newest of them, or before, is started anew,
	// and waited for. Nil: the function has no tags.
	Stamps []string

	// KeyConflict is what becomes of other arguments than those on record; empty if the arguments are all that a call is
	// known by, so that there are no others.
	KeyConflict refcache.KeyConflict

	// Turn is where the call stands in the line of Policy.Gate; the zero Turn: it has no gate, or its maker cannot tell.
	Turn Turn

	// Seen is the life that the call is about; the zero Record: any. If there is another one now nothing is started, and if
	// there is none the error is refcache.ErrTaskNotFound.
	Seen Record

	RetryFailed bool // start anew what has failed
	Refresh     bool // start anew what is complete; until that has ended its result stays

	Enqueue *script.Piggyback // enqueues a doorbell for a new task behind the fast path, and answers 1; nil: nothing does
}

// Submitted is the answer to a Submission.
type Submitted struct {
	Record
	Result   []byte    // nil when there is none
	Starts   bool      // this submission started the life that the record shows
	Enqueued bool      // the submission's Enqueue has answered 1; false: a doorbell is to be enqueued apart
	Stamp    time.Time // no answer is a result whose attempt began then or before; zero if that is settled
	Err      error     // for those who pass it on: why the call could not be made, or not be queued
}

// Submit makes a call or finds the one that was made before. On a full Redis it finds one in flight without adding c.Inbox to
// those who are told of its end.
func (s *Store) Submit(ctx context.Context, ref refcache.Ref, c Submission) (Submitted, error) {
	made, err := s.submit(ctx, ref, c)
	if c.Inbox != "" && script.Full(err) {
		c.Inbox = ""
		return s.submit(ctx, ref, c)
	}
	return made, err
}

func (s *Store) submit(ctx context.Context, ref refcache.Ref, c Submission) (Submitted, error) {
	transition, use := withPiggyback("submit", submitScript, c.Enqueue, c.use(ref))
	return s.submitted(ref, c, s.counted(transition, transition.Run(ctx, s.rdb, use.Keys, use.Args...)))
}

// use is what the submission comes to as arguments of its script.
func (c Submission) use(ref refcache.Ref) script.Use {
	return script.Use{Keys: about(ref), Args: []any{c.Request, c.Inbox, c.terms(), packPolicy(c.Namespace, c.Policy), c.Args, c.Trace, c.Turn.pack()}}
}

// terms are what the call starts anew, and whether it has a key of its own; for how many ms a failure answers, by kind;
// and the ages in ms that a result may have; all joined by commas. What is the default is left empty, and all behind the
// first word if it is nothing else. Then follows what is said of stamps.
func (c Submission) terms() string {
	answers := c.Policy.FailureAnswer
	if answers == refcache.Defaults.FailureAnswer && c.MaxAge == 0 && c.Fresh == 0 {
		return c.withStamps(c.revives())
	}
	words := []string{c.revives()}
	add := func(d, ifNot time.Duration) {
		word := ""
		if d != ifNot {
			word = strconv.FormatInt(d.Milliseconds(), 10)
		}
		words = append(words, word)
	}
	for _, kind := range refcache.FailureKinds {
		add(answers.Of(kind), refcache.Defaults.FailureAnswer.Of(kind))
	}
	add(c.MaxAge, 0)
	add(c.Fresh, 0)
	return c.withStamps(strings.Join(words, ","))
}

// What submit answers in place of whether the call was started.
const (
	keyConflict    = -1
	tooManyWaiting = -2
)

func (s *Store) submitted(ref refcache.Ref, c Submission, cmd *redis.Cmd) (Submitted, error) {
	answer, err := cmd.Slice()
	if err != nil {
		return Submitted{}, wrap(err, "submit", ref)
	}
	if reply(answer).int(3) == keyConflict {
		return Submitted{}, fmt.Errorf("call %s: %w", ref, refcache.ErrKeyConflict)
	}
	if reply(answer).int(3) == tooManyWaiting {
		return Submitted{}, fmt.Errorf("%s of queue %s: %w", c.Turn, ref.Queue(), refcache.ErrTooManyWaiting)
	}
	rang, _ := s.piggybacked(reply(answer).at(4))
	record, result, err := s.recordAndResult(ref, answer)
	if pause := pauseOfTurn(ref.Queue(), reply(answer).at(6), pausesInSubmit); pause != nil {
		record.HeldUp.Paused = pause
	}
	return Submitted{Record: record, Result: result, Starts: reply(answer).int(3) == 1, Enqueued: rang == int64(1),
		Stamp: stampTime(reply(answer).int(5))}, err
}

func (c Submission) revives() string {
	var statuses []string
	if c.RetryFailed {
		statuses = append(statuses, string(refcache.Failed))
	}
	if c.Refresh {
		statuses = append(statuses, string(refcache.Complete))
	}
	if c.KeyConflict != "" {
		statuses = append(statuses, "keyed")
	}
	if c.KeyConflict == refcache.KeyRefuse {
		statuses = append(statuses, "refuse")
	}
	if c.Seen.Ref != "" {
		statuses = append(statuses, fmt.Sprintf("of=%d:%d", c.Seen.CreatedAt.UnixMilli(), c.Seen.Delivery))
	}
	return strings.Join(statuses, " ")
}

// recordAndResult reads an answer that starts with a record, a stored result and its encoding.
func (s *Store) recordAndResult(ref refcache.Ref, answer reply) (Record, []byte, error) {
	record, err := parseRecord(ref, answer.at(0))
	if err != nil || answer.at(1) == nil {
		return record, nil, err
	}
	result, err := s.zip.unpack([]byte(answer.text(1)), answer.text(2))
	switch {
	case err != nil && record.Status.InFlight():
		return record, nil, nil // an old result that cannot be read is none, and about to be replaced
	case err != nil:
		return record, nil, damaged(ref, err)
	}
	return record, result, nil
}

// Result reads a task with its result, nil when there is none, and adds inbox, unless empty, to those who are told of
// the end of a task in flight. On a full Redis it only reads.
func (s *Store) Result(ctx context.Context, ref refcache.Ref, inbox string) (Record, []byte, error) {
	record, result, err := s.result(ctx, ref, inbox)
	if inbox != "" && script.Full(err) {
		return s.result(ctx, ref, "")
	}
	return record, result, err
}

func (s *Store) result(ctx context.Context, ref refcache.Ref, inbox string) (Record, []byte, error) {
	answer, err := s.onTask(ctx, readScript(), ref, inbox, "result", s.flag(ref.Queue())).Slice()
	if err != nil {
		return Record{}, nil, wrap(err, "read", ref)
	}
	record, result, err := s.recordAndResult(ref, answer)
	record.hear(answer)
	return record, result, err
}

// Where the script read tells what holds the task up, and where it stands that waits for its turn.
const (
	atHeldUp = 6
	atStands = 7
)

// hear takes from what the script read answers what is not in the record.
func (r *Record) hear(answer reply) {
	r.HeldUp = heldUp(r.Ref.Queue(), r.function(), answer.at(atHeldUp))
	r.Stands = stands(answer.at(atStands))
	if pause := pauseOfTurn(r.Ref.Queue(), answer.at(atStands), pausesInRead); pause != nil {
		r.HeldUp = HeldUp{Paused: pause}
	}
}

// Read reads a task without result and history.
func (s *Store) Read(ctx context.Context, ref refcache.Ref) (Record, error) {
	answer, err := s.onTask(ctx, readScript(), ref, "", "", s.flag(ref.Queue())).Slice()
	if err != nil {
		return Record{}, wrap(err, "read", ref)
	}
	record, err := parseRecord(ref, reply(answer).at(0))
	record.hear(answer)
	return record, err
}

// RetryOutcome says what became of a retry by hand.
type RetryOutcome string

const (
	RetryAccepted  RetryOutcome = "accepted"
	RetryNotFailed RetryOutcome = "not_failed" // or no longer as it was seen
	RetryExhausted RetryOutcome = "exhausted"
)

// Retry runs the failed task seen again: with what is left of its budget, or with a fresh one.
func (s *Store) Retry(ctx context.Context, seen Record, request, by string, fresh bool) (RetryOutcome, Record, error) {
	mode := refcache.EventRetry
	if fresh {
		mode = refcache.EventFresh
	}
	return s.retry(ctx, seen, request, by, mode, "")
}

// RetryUnder runs the failed task seen again with a fresh budget, under a policy and in the line of its gate; the zero Turn: there is
// none, or only a worker can tell. Function, version and namespace stay.
func (s *Store) RetryUnder(ctx context.Context, seen Record, request, by string, policy refcache.Policy, turn Turn) (RetryOutcome, Record, error) {
	policy.Name, policy.Version = seen.Policy.Name, seen.Policy.Version
	under := []any{packPolicy(seen.Namespace, policy)}
	if turn.Gate != "" {
		under = append(under, turn.pack())
	}
	return s.retry(ctx, seen, request, by, refcache.EventFresh, under...)
}

func (s *Store) retry(ctx context.Context, seen Record, request, by string, mode refcache.EventKind, under ...any) (RetryOutcome, Record, error) {
	args := append([]any{request, string(mode), seen.CreatedAt.UnixMilli(), seen.Delivery, by}, under...)
	answer, record, err := outcomeAndRecord(s.onTask(ctx, retryScript(), seen.Ref, args...), "retry", seen.Ref)
	return RetryOutcome(answer.text(0)), record, err
}

// Cancel ends the task seen; false when it had ended, or is another life by now.
func (s *Store) Cancel(ctx context.Context, seen Record, by string) (bool, Record, error) {
	answer, record, err := outcomeAndRecord(s.onTask(ctx, cancelScript(), seen.Ref,
		seen.CreatedAt.UnixMilli(), seen.Cycle, by), "cancel", seen.Ref)
	s.letIn(ctx, seen.Ref.Queue(), answer.at(2))
	return answer.int(0) == 1, record, err
}

// Delete removes the ended task seen; false when it is in flight.
func (s *Store) Delete(ctx context.Context, seen Record) (bool, error) {
	gone, err := s.onTask(ctx, deleteScript(), seen.Ref, seen.CreatedAt.UnixMilli(), seen.Cycle).Int()
	return gone == 1, wrap(err, "delete", seen.Ref)
}

// DeleteDamaged removes the record of a task if it is damaged, whatever its status was: nobody can end such a task.
// False when it is not damaged.
func (s *Store) DeleteDamaged(ctx context.Context, ref refcache.Ref) (bool, error) {
	gone, err := s.onTask(ctx, deleteScript(), ref, "", "").Int()
	return gone == 1, wrap(err, "delete", ref)
}
