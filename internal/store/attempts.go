package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/refcache"
)

// ClaimAnswer says what the asker for an attempt is to do.
type ClaimAnswer struct {
	Run   bool          // start the attempt that Record and Args describe
	Later time.Duration // when > 0: the retry is not due; come back then
	// Suspect: the task was left because it may bring the worker down; Later is set.
	Suspect bool
	// Neither: there is nothing to do.

	Record Record
	Args   []byte
	Trace  string    // of the submission that started the task's life
	Due    time.Time // when the retry that it is was due; zero for any other attempt, and for an answer that came twice
}

// Ready is since when the task could be claimed.
func (a ClaimAnswer) Ready() time.Time {
	switch r := a.Record; {
	case !a.Due.IsZero():
		return a.Due
	case !r.UpdatedAt.IsZero():
		return r.UpdatedAt
	default:
		return r.CreatedAt
	}
}

// Claim starts an attempt under a new token. It is sent once: after an error nobody knows whether the attempt has
// started, and a beat that does not name the token finds out.
func (s *Store) Claim(ctx context.Context, ref refcache.Ref, token, worker string) (ClaimAnswer, error) {
	return s.claim(ctx, ref, token, worker)
}

// ClaimUnsuspected is Claim, but it leaves a suspect as it is: a task whose workers were lost SuspectFrom times. It also leaves a
// task of a function that is paused: these are [PausedNames].
func (s *Store) ClaimUnsuspected(ctx context.Context, ref refcache.Ref, token, worker, paused string) (ClaimAnswer, error) {
	if paused != "" {
		return s.claim(ctx, ref, token, worker, "1", paused)
	}
	return s.claim(ctx, ref, token, worker, "1")
}

func (s *Store) claim(ctx context.Context, ref refcache.Ref, args ...any) (ClaimAnswer, error) {
	cmd := claimScript().Run(ctx, script.Once(s.rdb), about(ref), args...)
	values, err := s.counted(claimScript(), cmd).Slice()
	if err != nil {
		return ClaimAnswer{}, wrap(err, "claim", ref)
	}
	if answer := reply(values); answer.text(0) == "ack" {
		s.letIn(ctx, ref.Queue(), answer.at(1))
	}
	return claimed(ref, values)
}

func claimed(ref refcache.Ref, answer reply) (ClaimAnswer, error) {
	switch answer.text(0) {
	case "run":
		record, err := parseRecord(ref, answer.at(1))
		record.Turn = parseTurn(answer.text(5))
		claim := ClaimAnswer{Run: true, Record: record, Args: []byte(answer.text(2)), Trace: answer.text(3)}
		if due, bad := strconv.ParseInt(answer.text(4), 10, 64); bad == nil {
			claim.Due = time.UnixMilli(due)
		}
		return claim, err
	case "later":
		return ClaimAnswer{Later: time.Duration(answer.int(1)) * time.Millisecond, Suspect: answer.int(2) == 1}, nil
	}
	return ClaimAnswer{}, nil
}

// Dequeued is a doorbell that was taken out of a list.
type Dequeued struct {
	Message any          // what asynq's script answered; nil: there was none
	Ref     refcache.Ref // the task that it is about; empty when it names none of this queue
	Claim   ClaimAnswer  // Run: the attempt was claimed in the same step; Later: put the doorbell off; else Claim is to follow
	More    bool         // nothing yet, as many doorbells had to be set aside: ask again
}

// Doorbells are one of a queue's lists of doorbells, with the scripts of asynq and its border that [Store.DequeueAndClaim] runs:
// see there. They all have the keys and arguments of Dequeue, whose first key is the list.
type Doorbells struct {
	Name    string // under which they were set aside; empty: asynq's list
	Paused  string // functions that the worker does not start now: [PausedNames]
	Dequeue script.Piggyback

	SetAside, DropGone string
}

// DequeueAndClaim takes a doorbell out of a list of a queue, for a worker that knows the names of known. In the same step it claims
// the task that the doorbell is about, under a new token, if that is a case of claim's fast path. Doorbells of tasks that could be
// run and that the worker does not know are set aside on the way, where those find them who know them.
// It is sent once. After an error nobody knows what was dequeued; a heartbeat that does not name the token finds out
// what was claimed.
func (s *Store) DequeueAndClaim(ctx context.Context, queue, token, worker string, known *Known, from Doorbells) (Dequeued, error) {
	own := script.Use{Keys: []string{prefix(queue)}, Args: []any{token, worker, from.Name, from.Paused}}
	take := assembleOnce(&known.scripts, "dequeue_and_claim", from.Dequeue.Text, func() string { return taking(known.names, from, own) })
	use := from.Dequeue.AppendTo(own)
	values, err := take.Run(ctx, script.Once(s.rdb), use.Keys, use.Args...).Slice()
	if isNil(err) {
		return Dequeued{}, nil
	}
	if err != nil {
		return Dequeued{}, fmt.Errorf("dequeue a doorbell of queue %s: %w", queue, err)
	}
	answer := reply(values)
	s.letIn(ctx, queue, answer.at(3))
	found := Dequeued{Message: answer.at(0), Ref: refcache.Ref(answer.text(1)), More: answer.at(0) == nil}
	if claim, _ := answer.at(2).([]any); claim != nil {
		if found.Claim, err = claimed(found.Ref, claim); err != nil {
			found.Claim = ClaimAnswer{} // who claims it again is told why it cannot be run
		}
	}
	return found, nil
}

// Outcome is how an attempt ended. Make one with Completed, Errored, UnavailableFor or Released.
type Outcome struct {
	kind string
	args []any

	Ack *script.Piggyback // acknowledges the doorbell behind the fast path of a complete attempt; nil: nothing does
}

// Completed is the outcome of an attempt with a result.
func (s *Store) Completed(result []byte) Outcome {
	packed, encoding := s.zip.pack(result)
	return Outcome{kind: "complete", args: []any{packed, encoding}}
}

// Failure is why an attempt failed and what its worker offers for the next one.
type Failure struct {
	Error     string
	Cause     refcache.Cause
	Permanent bool          // no retry can mend it
	Delay     time.Duration // before the retry, if the budget has one; rounded up to whole ms, at most a century
	Note      string
	Code      string // for programs; empty: none
	Details   []byte // JSON; nil: none
}

// Errored is the outcome of an attempt that failed.
func Errored(f Failure) Outcome {
	permanent := ""
	if f.Permanent {
		permanent = "1"
	}
	delay := (min(f.Delay, refcache.MaxDelay) + time.Millisecond - 1).Milliseconds()
	return Outcome{kind: "error", args: []any{f.Error, string(f.Cause), permanent, delay, f.Note, f.Code, f.Details}}
}

// UnavailableFor is the outcome of an attempt that found closed what it needs: its key is closed for d, and the task waits for its
// turn. It costs no retry. It is for tasks that have a turn.
func UnavailableFor(text string, d time.Duration, by string) Outcome {
	return Outcome{kind: "unavailable", args: []any{text, d.Milliseconds(), by}}
}

// Released is the outcome of an attempt that the worker hands back: it does not count.
func Released(note, by string) Outcome {
	return Outcome{kind: "release", args: []any{note, by}}
}

// Lack is what a worker that hands a call on does not know of it, or does not have for it.
type Lack string

const (
	LacksFunction Lack = "function" // in this version
	LacksMember   Lack = "member"   // of the arguments
	LacksProgram  Lack = "program"  // what the function needs, for now
)

// HandedOn is the outcome of an attempt that the worker hands back because it lacks something that another may have: it
// does not count. After 10 min in a row for lack of a member it is an error without a retry, with note as its text.
func HandedOn(note, by string, l Lack) Outcome {
	return Outcome{kind: "hand_on", args: []any{note, by, string(l)}}
}

// Finished is what became of a task when its attempt ended.
type Finished struct {
	Current bool            // false: the token was void, nothing was written
	Status  refcache.Status // of the task now
	Delay   time.Duration   // until the next retry, if one is scheduled
	Acked   bool            // the outcome's Ack has run, whatever it found; false: asynq is to acknowledge
}

// Finish ends the attempt that holds token.
func (s *Store) Finish(ctx context.Context, ref refcache.Ref, token string, o Outcome) (Finished, error) {
	if o.kind != "complete" {
		o.Ack = nil // the script would not run it
	}
	transition, use := withPiggyback("finish", finishScript, o.Ack, script.Use{Keys: about(ref), Args: append([]any{token, o.kind}, o.args...)})
	values, err := s.counted(transition, transition.Run(ctx, s.rdb, use.Keys, use.Args...)).Slice()
	if err != nil {
		return Finished{}, wrap(err, "finish", ref)
	}
	answer := reply(values)
	_, acked := s.piggybacked(answer.at(3))
	s.letIn(ctx, ref.Queue(), answer.at(4))
	return Finished{Current: answer.int(0) == 1, Status: refcache.Status(answer.text(1)),
		Delay: time.Duration(answer.int(2)) * time.Millisecond, Acked: acked}, nil
}

// Progress keeps a report of the attempt that holds token; false when the token is not current.
func (s *Store) Progress(ctx context.Context, ref refcache.Ref, token string, p refcache.Progress) (bool, error) {
	report, err := json.Marshal(progressEntry{p.Current, p.Total, p.Message})
	if err != nil {
		return false, fmt.Errorf("progress of %s: %w", ref, err)
	}
	current, err := s.onTask(ctx, progressScript(), ref, token, report).Int()
	return current == 1, wrap(err, "report progress of", ref)
}

// Claim of an attempt: which task, under which token.
type Claim struct {
	Ref   refcache.Ref
	Token string
}

// Redeliver takes an attempt from the worker that claimed it: by asks, either that worker itself or a sweeper. False
// when the attempt is over or its worker lives.
func (s *Store) Redeliver(ctx context.Context, c Claim, worker, by string) (bool, Record, error) {
	values, err := s.onTask(ctx, redeliverScript(), c.Ref, c.Token, worker, by).Slice()
	if err != nil {
		return false, Record{}, wrap(err, "redeliver", c.Ref)
	}
	if answer := reply(values); answer.int(0) == 1 {
		s.letIn(ctx, c.Ref.Queue(), answer.at(2))
		record, err := parseRecord(c.Ref, answer.at(1))
		return true, record, err
	}
	return false, Record{}, nil
}

// NewDelivery gives a waiting task a new delivery, if it still has the one given. It answers the task as it then is.
func (s *Store) NewDelivery(ctx context.Context, ref refcache.Ref, delivery int) (Record, error) {
	return recordFrom(s.onTask(ctx, newDeliveryScript(), ref, delivery), "give a new delivery to", ref)
}
