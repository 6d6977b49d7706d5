package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/refq/refq/refcache"
)

// Info reads a task with its history.
func (s *Store) Info(ctx context.Context, ref refcache.Ref) (refcache.TaskInfo, error) {
	values, err := s.onTask(ctx, readScript(), ref, "", "history", s.flag(ref.Queue())).Slice()
	if err != nil {
		return refcache.TaskInfo{}, wrap(err, "read", ref)
	}
	answer := reply(values)
	record, err := parseRecord(ref, answer.at(0))
	if err != nil {
		return refcache.TaskInfo{}, err
	}
	record.hear(answer)
	return record.withHistory(answer.at(1), answer.at(2))
}

// Whole is a task with everything that is kept of it, as it was at one moment.
type Whole struct {
	Record
	Info   refcache.TaskInfo // with the history
	Args   []byte            // canonical
	Result []byte            // nil when there is none
}

// Whole reads a task with everything that is kept of it.
func (s *Store) Whole(ctx context.Context, ref refcache.Ref) (Whole, error) {
	values, err := s.onTask(ctx, readScript(), ref, "", "all", s.flag(ref.Queue())).Slice()
	if err != nil {
		return Whole{}, wrap(err, "read", ref)
	}
	answer := reply(values)
	w := Whole{Args: []byte(answer.text(5))}
	if w.Record, w.Result, err = s.recordAndResult(ref, answer); err != nil {
		return Whole{}, err
	}
	w.hear(answer)
	w.Info, err = w.withHistory(answer.at(3), answer.at(4))
	return w, err
}

// withHistory is Info with what the scripts answer as attempts and events.
func (r Record) withHistory(attempts, events any) (info refcache.TaskInfo, err error) {
	info = r.Info()
	if info.RetryHistory, err = parseEntries(attempts, parseAttempt); err != nil {
		return refcache.TaskInfo{}, damaged(r.Ref, err)
	}
	if info.Events, err = parseEntries(events, parseEvent); err != nil {
		return refcache.TaskInfo{}, damaged(r.Ref, err)
	}
	for _, attempt := range slices.Backward(info.RetryHistory) {
		if info.LastError != "" && attempt.Cause != refcache.CauseCancelled {
			info.ErrorCause, info.ErrorCode, info.ErrorDetails = attempt.Cause, attempt.Code, attempt.Details
			break
		}
	}
	return info, nil
}

// Info is the readable form of the record, without its history.
func (r Record) Info() refcache.TaskInfo {
	return refcache.TaskInfo{
		Unserved: r.HeldUp.Lacks, Paused: r.HeldUp.Paused, WaitsFor: r.WaitsFor(), Turn: r.Stands,
		RefID: r.Ref, Func: r.Policy.Name, Version: r.Policy.Version, Namespace: r.Namespace, Queue: r.Ref.Queue(),
		Status: r.Status, Note: cmp.Or(r.HeldUp.String(), r.standing(), r.Note), Cycle: r.Cycle, Attempt: r.Attempt, Worker: r.Worker, Progress: r.Progress,
		CreatedAt: r.CreatedAt, StartedAt: known(r.StartedAt), CompletedAt: known(r.CompletedAt),
		ExpiresAt: known(r.ExpiresAt()), NextRetryAt: known(r.NextRetryAt), Error: r.Error(), LastError: r.LastError,
		RetryCount: r.RetryCount, MaxRetries: r.Policy.MaxRetries, LostCount: r.LostCount, CanRetry: r.CanRetry(),
		Exhausted: r.Exhausted(), RetryDelay: r.Policy.RetryDelay, RetryBackoffFactor: r.Policy.BackoffFactor,
		Timeout: r.Policy.Timeout, AsOf: known(r.AsOf()), IsStale: r.Stale(), StaleReason: r.StaleReason(), AttemptsTotal: r.attempts, EventsTotal: r.events,
	}
}

// known gives nil for a time that is not known.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
