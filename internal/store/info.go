package store

import (
	"context"
	"slices"
	"time"

	"github.com/refq/refq/refcache"
)

// Info reads a task with its history.
func (s *Store) Info(ctx context.Context, ref refcache.Ref) (refcache.TaskInfo, error) {
	values, err := s.onTask(ctx, readScript, ref, "", "history").Slice()
	if err != nil {
		return refcache.TaskInfo{}, wrap(err, "read", ref)
	}
	answer := reply(values)
	record, err := parseRecord(ref, answer.at(0))
	if err != nil {
		return refcache.TaskInfo{}, err
	}
	info := record.Info()
	if info.RetryHistory, err = parseEntries(answer.at(1), parseAttempt); err != nil {
		return refcache.TaskInfo{}, damaged(ref, err)
	}
	if info.Events, err = parseEntries(answer.at(2), parseEvent); err != nil {
		return refcache.TaskInfo{}, damaged(ref, err)
	}
	for _, attempt := range slices.Backward(info.RetryHistory) {
		if info.LastError != "" && attempt.Cause != refcache.CauseCancelled {
			info.ErrorCause = attempt.Cause
			break
		}
	}
	return info, nil
}

// Info is the readable form of the record, without its history.
func (r Record) Info() refcache.TaskInfo {
	return refcache.TaskInfo{
		RefID: r.Ref, Func: r.Policy.Name, Version: r.Policy.Version, Namespace: r.Namespace, Queue: r.Ref.Queue(),
		Status: r.Status, Note: r.Note, Cycle: r.Cycle, Attempt: r.Attempt, Worker: r.Worker, Progress: r.Progress,
		CreatedAt: r.CreatedAt, StartedAt: known(r.StartedAt), CompletedAt: known(r.CompletedAt),
		ExpiresAt: known(r.ExpiresAt()), NextRetryAt: known(r.NextRetryAt), Error: r.Error(), LastError: r.LastError,
		RetryCount: r.RetryCount, MaxRetries: r.Policy.MaxRetries, LostCount: r.LostCount, CanRetry: r.CanRetry(),
		Exhausted: r.Exhausted(), RetryDelay: r.Policy.RetryDelay, RetryBackoffFactor: r.Policy.BackoffFactor,
		Timeout: r.Policy.Timeout, AttemptsTotal: r.attempts, EventsTotal: r.events,
	}
}

// known gives nil for a time that is not known.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
