package refcache

import (
	"encoding/json"
	"time"
)

// Response answers a call in every state. Pointers are nil for what is not known or does not apply.
type Response[T any] struct {
	RefID      Ref
	Status     Status
	IsComplete bool // the status is complete
	IsAsync    bool // answered while the call is in flight: poll or wait with RefID
	CanRetry   bool // failed, with retries left
	IsStale    bool // Value is old: StaleReason says why there is no newer one

	// Value is the result of a complete call; while a complete call is run again ([producer.Refresh]) the old result.
	// It is the zero T unless HasValue.
	Value       T
	HasValue    bool
	StaleReason StaleReason
	Refreshing  bool           // Value is an old result, and the call is being run again
	Age         *time.Duration // how old the answer is: a value since the start of the attempt that made it, a failure since its end
	Cache       CacheUse       // how a call came to this answer; empty if the answer was read by ref_id
	StartedAt   *time.Time
	Progress    *Progress
	Message     string // for people: the progress message, a note, or a sentence on the state
	Unserved    Unserved
	Paused      *Pause   // what holds the call up, if it has waited for more than a second, a gate at once; nil: nothing is known to
	WaitsFor    WaitsFor // of a waiting call; empty for any other
	Error       string   // why the task failed, or the refresh of a complete one; empty for any other
	// ErrorCode and ErrorDetails are of the same error, for programs; empty and nil if the function gave none.
	ErrorCode    string
	ErrorDetails json.RawMessage
	RetryCount   int
	MaxRetries   int
	Exhausted    bool // failed, with no retries left
	NextRetryAt  *time.Time

	Func        string
	Queue       string
	CreatedAt   time.Time
	CompletedAt *time.Time
	ExpiresAt   *time.Time
	ETA         *time.Duration // how long the running attempt may still take, by its progress; never negative
	LostCount   int
	Attempt     int

	// Err is, in the answers of [producer.CallMany], the error that Call would have returned beside the Response. Nil
	// everywhere else.
	Err error
}

// CacheUse is how a call came to its answer.
type CacheUse string

const (
	CacheHit    CacheUse = "hit"    // by what was on record
	CacheStale  CacheUse = "stale"  // by a result on record that is old: IsStale
	CacheJoined CacheUse = "joined" // by a run that another call had started
	CacheMiss   CacheUse = "miss"   // by a run that this call started
)

// StaleReason is why a call is answered with an old result; empty if it is not stale.
type StaleReason string

const (
	StaleAge       StaleReason = "age"       // it is older than the caller's [Func].Fresh
	StaleTag       StaleReason = "tag"       // it was invalidated, and the run for a newer one failed or was cancelled: it stands beside that error
	StaleError     StaleReason = "error"     // its last refresh failed
	StaleCancelled StaleReason = "cancelled" // its last refresh was cancelled
)

// Format is how much of a [Response] its JSON shows.
type Format string

const (
	Minimal  Format = "minimal"  // ref_id, status and what follows from it
	Standard Format = "standard" // also the value, progress, error and budget
	Full     Format = "full"     // everything
)
