package store

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/refcache"
)

// What a record must look like, for scripts and readers alike.
var (
	wholeFields = []string{
		"v", "version", "cycle", "delivery", "attempt",
		"created_at", "updated_at", "started_at", "completed_at", "next_retry_at",
		"retry_count", "lost_count", "hist_n", "event_n",
		"max_retries", "retry_delay", "retry_max_delay", "timeout", "ttl", "failure_ttl",
	}
	decimalFields = []string{"retry_backoff_factor", "retry_jitter"}

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

// mostDigits is what Lua's numbers hold exactly: the times of thirty thousand years.
const mostDigits = 15

// luaNeeded writes neededFields as a Lua table.
func luaNeeded() string {
	var b strings.Builder
	for _, status := range refcache.Statuses {
		fmt.Fprintf(&b, "%s = %s, ", status, luaList(neededFields[status]))
	}
	return "{" + b.String() + "}"
}

// ErrDamaged is what those errors refcache.ErrUnreadable are that are about damaged records: nothing is done with such a record but to delete it.
var ErrDamaged = errors.New("damaged record")

// errNoHash is said in the same words by the scripts.
var errNoHash = errors.New("its key holds no hash")

// unreadable is an error about a record.
type unreadable struct {
	error
	damaged bool
}

func (e unreadable) Unwrap() error { return e.error }
func (e unreadable) Is(target error) bool {
	return target == refcache.ErrUnreadable || target == ErrDamaged && e.damaged
}

func newer(ref refcache.Ref, version int) error {
	return unreadable{fmt.Errorf("record of %s has version %d: written by a newer refq, update this one", ref, version), false}
}

func damaged(ref refcache.Ref, cause error) error {
	return unreadable{fmt.Errorf("record of %s is damaged: %w; refq delete %s removes it", ref, cause, ref), true}
}

// damageIn gives the cause when a script refused because of a damaged record.
func damageIn(err error) (cause error, found bool) {
	var refusal redis.Error
	if !errors.As(err, &refusal) || !redis.HasErrorPrefix(refusal, "DAMAGED ") {
		return nil, false
	}
	_, text, found := strings.Cut(refusal.Error(), "DAMAGED ")
	return errors.New(text), found
}
