package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
)

// errorCounts counts the errors of Redis, and on the way to it, by operation. It is safe for concurrent use.
type errorCounts struct {
	mu     sync.Mutex
	counts map[string]int64
}

// CountError counts an error by what was done, one of a few names. It passes over nil, and over errors that say nothing
// of Redis: that there is nothing, that a record is damaged, that the caller has gone.
func (s *Store) CountError(operation string, err error) {
	if err == nil || isNil(err) || errors.Is(err, context.Canceled) {
		return
	}
	if _, found := damageIn(err); found {
		return
	}
	s.errors.mu.Lock()
	defer s.errors.mu.Unlock()
	s.errors.counts[operation]++
}

// ErrorCounts returns how many errors there were, by operation: the names of scripts, and those given to CountError.
func (s *Store) ErrorCounts() map[string]int64 {
	s.errors.mu.Lock()
	defer s.errors.mu.Unlock()
	return maps.Clone(s.errors.counts)
}

// Over returns the Store over another client for the same Redis; they count their errors together.
func (s *Store) Over(rdb redis.UniversalClient) *Store {
	other := New(rdb)
	other.errors, other.flagBy, other.ring = s.errors, s.flagBy, s.ring
	return other
}

// counted counts the error of a script, if there is one.
func (s *Store) counted(by *redis.Script, cmd *redis.Cmd) *redis.Cmd {
	if err := script.Discreet(cmd).Err(); err != nil {
		s.CountError(ScriptName(by.Hash()), err)
	}
	return cmd
}

// piggybacked reads what a script answers of its piggyback: nothing, {1, its answer}, or {false, an error}, which is
// counted.
func (s *Store) piggybacked(reply any) (answer any, ran bool) {
	pair, _ := reply.([]any)
	switch {
	case len(pair) == 0:
		return nil, false
	case pair[0] == nil:
		s.CountError("piggyback", fmt.Errorf("%v", pair[1:]))
		return nil, false
	case len(pair) == 1:
		return nil, true
	}
	return pair[1], true
}
