package store_test

import (
	"slices"
	"strings"
	"time"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// modelTask is a task's record. The test reads Redis into the same type. Times are Unix ms, 0 for none.
type modelTask struct {
	Status                              refcache.Status
	Cycle, Delivery, Attempt            int
	Retries, Lost, MaxRetries           int
	Token, Worker, LastToken, Req       string
	Created, Since, Started, Due, Ended int64 // Since: when it became pending or retrying
	Expires                             int64
	TTL, FailureTTL                     int64
	Args, Result, Waiters               string
	AsOf, ResultEnds                    int64  // of a result that is to be replaced: its attempt's start, its expiry
	Refresh                             string // how replacing it failed
	Progress                            int64  // of the running attempt
	Error                               string
	Attempts                            []modelAttempt
	Events                              []modelEvent
}

type modelAttempt struct {
	Cycle, Attempt       int
	Cause                refcache.Cause
	Error, Worker        string // Error only of cause error: the others' wording is free
	Started, Ended, Wait int64
	Permanent            bool
}

type modelEvent struct {
	Kind refcache.EventKind
	By   string
	At   int64

	Times, Attempts, Cycle int // of a row of hand-ons
	Since                  int64
	MemberSince            int64 `json:"member_since"`
}

func (t *modelTask) about(what string) string {
	return modelAbout(what, t.Status, t.Cycle, t.Delivery)
}

// is reports whether the task is the life that was seen.
func (t *modelTask) is(seen store.Record) bool {
	return t.Created == seen.CreatedAt.UnixMilli() && t.Cycle == seen.Cycle
}

// leave ends the attempt that runs and returns its worker.
func (t *modelTask) leave() string {
	worker := t.Worker
	t.Token, t.Worker = "", ""
	return worker
}

func (t *modelTask) pend() {
	t.Status, t.Since, t.Due, t.Started = refcache.Pending, modelNow(), 0, 0
}

func (t *modelTask) revive() {
	t.Ended, t.Expires, t.LastToken, t.Error = 0, 0, "", ""
	t.Delivery++
}

func (t *modelTask) freshBudget() {
	t.Cycle++
	t.Attempt, t.Retries, t.Lost = 0, 0, 0
}

// answer is the result that a call is told: an old one until it expires.
func (t *modelTask) answer() string {
	if t.Status != refcache.Complete && t.ResultEnds <= modelNow() {
		return ""
	}
	return t.Result
}

// older reports whether the attempt that made the result began longer ago than a limit, if there is one.
func (t *modelTask) older(limit time.Duration) bool {
	return limit > 0 && modelNow()-t.asOf() > limit.Milliseconds()
}

// asOf is when the attempt began that made the result.
func (t *modelTask) asOf() int64 {
	if t.AsOf > 0 {
		return t.AsOf
	}
	return t.Started
}

// mayRenew reports whether the failure of the last refresh, if it failed, keeps others from starting one no longer.
func (t *modelTask) mayRenew(answers refcache.FailureAnswer, stamp int64) bool {
	return t.Refresh == "" || t.Refresh == "cancelled" || !t.failureAnswers(refcache.FailureKind(t.Refresh), answers, stamp)
}

// failureAnswers reports whether the failure of a kind of the last attempt answers a call.
func (t *modelTask) failureAnswers(kind refcache.FailureKind, answers refcache.FailureAnswer, stamp int64) bool {
	return modelNow()-t.Ended < answers.Of(kind).Milliseconds() && t.Attempts[len(t.Attempts)-1].Started > stamp
}

// why is why the task failed.
func (t *modelTask) why() refcache.FailureKind {
	last := t.Attempts[len(t.Attempts)-1]
	if last.Permanent {
		return refcache.FailurePermanent
	}
	return refcache.FailureKind(last.Cause)
}

func (t *modelTask) wait(inbox string) {
	if inbox != "" && t.Status.InFlight() && !slices.Contains(strings.Fields(t.Waiters), inbox) {
		t.Waiters = strings.TrimSpace(t.Waiters + " " + inbox)
	}
}

func (t *modelTask) failed(cause refcache.Cause, text, worker string, wait time.Duration, permanent bool) {
	t.Attempts = append(t.Attempts, modelAttempt{Cycle: t.Cycle, Attempt: t.Attempt, Cause: cause, Error: text,
		Worker: worker, Started: t.Started, Ended: modelNow(), Wait: wait.Milliseconds(), Permanent: permanent})
	t.Error = text
}

// row is the row of hand-ons that goes on, nil if there is none.
func (t *modelTask) row() *modelEvent {
	if n := len(t.Events); n > 0 {
		if e := &t.Events[n-1]; e.Times > 0 && e.Attempts == len(t.Attempts) && e.Cycle == t.Cycle {
			return e
		}
	}
	return nil
}

func (t *modelTask) handedOn(lacks, by string) {
	row := t.row()
	if row == nil {
		t.Events = append(t.Events, modelEvent{Kind: refcache.EventHandedBack, Since: modelNow(),
			Attempts: len(t.Attempts), Cycle: t.Cycle})
		row = &t.Events[len(t.Events)-1]
	}
	if lacks == "member" && row.MemberSince == 0 {
		row.MemberSince = modelNow()
	}
	row.By, row.At = by, modelNow()
	row.Times++
}

func (t *modelTask) event(kind refcache.EventKind, by string) {
	t.Events = append(t.Events, modelEvent{Kind: kind, By: by, At: modelNow()})
}
