package refcache

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TaskInfo is the readable form of a task's record: everything about a call but its arguments and result. Pointers
// are nil for what is not known or does not apply; times are Redis's.
type TaskInfo struct {
	RefID        Ref
	Func         string
	Version      int
	Namespace    string
	Queue        string
	Status       Status
	Note         string // what a person should know, such as that no worker handles the function; usually empty
	Cycle        int    // 1 in the first life, one more for each new one
	Attempt      int    // the attempt that runs or ran last in this cycle; 0 before the first
	Worker       string // who runs the attempt; empty when none runs
	Progress     *Progress
	CreatedAt    time.Time
	StartedAt    *time.Time // of the latest attempt
	CompletedAt  *time.Time // when the task ended
	ExpiresAt    *time.Time // when the record goes away
	NextRetryAt  *time.Time
	AsOf         *time.Time // when the attempt began that made the result; nil without one
	IsStale      bool       // complete, with an old result
	StaleReason  StaleReason
	Error        string // why the task failed, or the refresh of a complete one; empty for any other
	LastError    string // of the latest failed or lost attempt
	ErrorCause   Cause  // of the same attempt, as are its code and details; empty and nil if the function gave none
	ErrorCode    string
	ErrorDetails json.RawMessage
	RetryCount   int // retries scheduled in this cycle, 0 to MaxRetries
	MaxRetries   int
	LostCount    int  // attempts of this cycle whose worker was lost; they cost no retry
	CanRetry     bool // failed, with retries left
	Exhausted    bool // failed, with none left
	Unserved     Unserved
	Paused       *Pause    // what holds the task up, if it has waited for more than a second, a gate at once; nil: nothing is known to
	WaitsFor     WaitsFor  // of a waiting task; empty for any other
	Turn         *TurnInfo // of a task that waits for its turn; nil for any other, and in lists

	RetryDelay         time.Duration
	RetryBackoffFactor float64
	Timeout            time.Duration // of one attempt; 0: no limit

	RetryHistory  []Attempt // failed, lost and cancelled attempts of all cycles, oldest first, the last 100
	AttemptsTotal int       // how many there have been
	Events        []Event   // what people and workers did to the task, oldest first, the last 100
	EventsTotal   int

	// Unreadable says why the record cannot be read, in a list; usually empty. No more is known of such a task than RefID,
	// Queue, the Status that it is listed under and, if they can be read, Func and LastError.
	Unreadable string
}

// Unserved says what no living worker serves, so that nobody can run a call which has waited, for a worker or for its turn, or been overdue for
// a retry, for more than a second. It is empty if somebody can, or if that is not known: of many workers not all are asked.
type Unserved string

const (
	UnservedQueue    Unserved = "queue"    // no living worker serves the queue
	UnservedFunction Unserved = "function" // those that do know no such function in this version
	UnservedProgram  Unserved = "program"  // those that know it cannot run it now; they try again
)

// WaitsFor says what a waiting task waits for.
type WaitsFor string

// WaitsTurn: the gate of the call lets no more in.
const WaitsTurn WaitsFor = "turn"

// TurnInfo tells where a call stands that waits for its turn.
type TurnInfo struct {
	Gate        string
	Key         string // of its [Turn]; a hash replaces the end of a long one
	Share       string // of its [Turn], likewise
	Position    int    // among those of its key, 1 for the next
	Running     int    // calls that hold it up: of its key, or of the gate if that is what is full
	Limit       int    // how many of these may run; 0: no such limit
	Reason      TurnReason
	NextStartAt *time.Time // when time lets the next of its key start; nil if it is not time that it needs
}

// String is a sentence for people, without its end: "waits for its turn: 4th of key maps.example, 5 of 5 running". Without a
// Position it says no more than the gate and the key. Its times are local ones, and keys are as [QuoteKey] has them.
func (t TurnInfo) String() string {
	of := "gate " + t.Gate
	if t.Key != "" {
		of = "key " + QuoteKey(t.Key)
	}
	text := fmt.Sprintf("waits for its turn: %s of %s", ordinal(t.Position), of)
	switch {
	case t.Position == 0 && t.Key != "":
		return fmt.Sprintf("waits for its turn at gate %s, %s", t.Gate, of)
	case t.Position == 0:
		return "waits for its turn at " + of
	case t.Reason == WaitsUndeclared:
		return text + fmt.Sprintf(", and no worker has declared gate %s", t.Gate)
	case t.Reason == WaitsPaused:
		return text + ", which is paused"
	case t.Reason == WaitsUnavailable && t.NextStartAt != nil:
		return text + ", which is closed until " + localTime(*t.NextStartAt, toSecond)
	case t.Reason == WaitsUnavailable:
		return text + ", while one call tries whether it is open again"
	case t.NextStartAt != nil:
		return text + ", the next may start at " + localTime(*t.NextStartAt, toSecond)
	case t.Limit > 0:
		return text + fmt.Sprintf(", %d of %d running", t.Running, t.Limit)
	}
	return text
}

// QuoteKey is the key of a gate as a part of a sentence: quoted as in Go if it is empty, or has spaces, commas, quotes or what cannot be
// printed, else as it is.
func QuoteKey(key string) string {
	quoted := strconv.Quote(key)
	if key == "" || strings.ContainsAny(key, " ,") || quoted != `"`+key+`"` {
		return quoted
	}
	return key
}

func ordinal(n int) string {
	switch {
	case n%100/10 == 1:
		return fmt.Sprintf("%dth", n)
	case n%10 == 1:
		return fmt.Sprintf("%dst", n)
	case n%10 == 2:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}

// TurnReason is why a call that waits for its turn does not start.
type TurnReason string

const (
	WaitsLimit       TurnReason = "limit"       // as many run as may, or others come first
	WaitsRate        TurnReason = "rate"        // as many have started lately as may
	WaitsPaused      TurnReason = "paused"      // an operator has paused the gate or the key
	WaitsUnavailable TurnReason = "unavailable" // what the function needs is closed: see worker.Unavailable
	WaitsUndeclared  TurnReason = "undeclared"  // no worker has declared the gate
)

// Cause says how an attempt came to fail.
type Cause string

const (
	CauseError     Cause = "error"     // the function returned an error
	CausePanic     Cause = "panic"     // the function panicked
	CauseTimeout   Cause = "timeout"   // the attempt took longer than Timeout
	CauseLost      Cause = "lost"      // the worker was lost
	CauseCancelled Cause = "cancelled" // a person cancelled the task
)

// Attempt is one execution that did not complete, as the history keeps it.
type Attempt struct {
	Cycle     int
	Attempt   int
	Error     string          // at most 8 KiB; of a panic with its stack
	Code      string          // for programs; empty: none was given
	Details   json.RawMessage // nil: none were given
	Cause     Cause
	Permanent bool      // the function said that no retry would mend it
	Timestamp time.Time // when it ended
	StartedAt time.Time
	Duration  time.Duration
	Delay     time.Duration // the wait before the next attempt; 0 when none was scheduled
	Worker    string
}

// Event is something done to a task by a person or a worker.
type Event struct {
	At   time.Time // when it was last done, of a row
	Kind EventKind
	By   string

	// Of a row of hand-backs by workers that lack a function or a member: how many, and when the first was. Else 0 and nil.
	Times int
	Since *time.Time

	Note string // what was unavailable; empty for any other kind
}

// EventKind names what was done.
type EventKind string

const (
	EventRetry       EventKind = "retry"       // retried by hand, budget continued
	EventFresh       EventKind = "fresh"       // retried by hand with a fresh budget
	EventCancel      EventKind = "cancel"      // cancelled
	EventRedelivered EventKind = "redelivered" // taken from a lost worker
	EventHandedBack  EventKind = "handed_back" // given back by a worker that could not run it
	EventUnavailable EventKind = "unavailable" // what it needs was closed: it waits for its turn again
	// EventRefreshFailed: a refresh ended without a new result, and the old one stayed.
	EventRefreshFailed EventKind = "refresh_failed"
)

// Progress is what a running function last reported.
type Progress struct {
	Current    int64
	Total      int64 // 0: unknown
	Message    string
	Percentage *float64 // 0 to 100; nil without a Total
}
