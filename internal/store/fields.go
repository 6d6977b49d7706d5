package store

import (
	"slices"

	"github.com/refq/refq/refcache"
)

// fields are read together, in this order, by whoever reads a record: whole numbers, then numbers with a fraction, then
// texts. Scripts and readers check them alike.
var fields = slices.Concat(wholeFields, decimalFields, textFields)

var (
	wholeFields = []string{
		"v", "version", "cycle", "delivery", "attempt",
		"created_at", "updated_at", "started_at", "completed_at", "next_retry_at",
		"retry_count", "lost_count", "hist_n", "event_n",
		"max_retries", "retry_delay", "retry_max_delay", "timeout", "ttl", "failure_ttl",
	}
	decimalFields = []string{"retry_backoff_factor", "retry_jitter"}
	textFields    = []string{"backoff", "status", "ns", "func", "worker", "last_error", "note", "progress"}

	// privateFields are for the scripts, and for who asks for arguments or result.
	privateFields = []string{"args", "req", "token", "last_token", "waiters", "result", "result_encoding", "trace"}

	// policyFields are what a new life takes from its submitter.
	policyFields = []string{
		"max_retries", "retry_delay", "retry_max_delay", "timeout", "ttl", "failure_ttl",
		"retry_backoff_factor", "retry_jitter", "backoff",
	}

	// neededFields are those without a default, by status.
	neededFields = map[refcache.Status][]string{
		refcache.Pending:    {"func", "args", "created_at"},
		refcache.Processing: {"func", "args", "created_at", "attempt", "started_at", "token", "worker"},
		refcache.Retrying:   {"func", "args", "created_at", "next_retry_at"},
		refcache.Complete:   {"func", "args", "created_at", "completed_at", "result"},
		refcache.Failed:     {"func", "args", "created_at", "completed_at"},
		refcache.Cancelled:  {"func", "args", "created_at", "completed_at"},
	}
)

// Places in fields.
const (
	atV = iota
	atVersion
	atCycle
	atDelivery
	atAttempt
	atCreatedAt
	atUpdatedAt
	atStartedAt
	atCompletedAt
	atNextRetryAt
	atRetryCount
	atLostCount
	atHistN
	atEventN
	atMaxRetries
	atRetryDelay
	atRetryMaxDelay
	atTimeout
	atTTL
	atFailureTTL
	atBackoffFactor
	atJitter
	atBackoff
	atStatus
	atNS
	atFunc
	atWorker
	atLastError
	atNote
	atProgress
	atNow // behind them: Redis's time
)

// recordVersion is the newest form of record that this code reads. Records of version 1 do not name it.
const recordVersion = 1

// mostDigits is what Lua's numbers hold exactly: the times of thirty thousand years.
const mostDigits = 15
