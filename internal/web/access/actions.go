package access

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/refcache"
)

// Actions changes calls, and pauses queues and functions. It may be used concurrently.
type Actions struct {
	operator *admin.Admin
	info     func(context.Context, refcache.Ref) (refcache.TaskInfo, error)
	fresh    []admin.RetryOption // of a retry with a fresh budget
	log      *slog.Logger
}

// NewActions returns Actions that operator makes; info reads how a call stands before, and today are the policies of
// retries with a fresh budget. The log hears of every change, and of every one that was refused ([Audit]).
func NewActions(operator *admin.Admin, info func(context.Context, refcache.Ref) (refcache.TaskInfo, error), today []refcache.Policy, log *slog.Logger) Actions {
	fresh := []admin.RetryOption{admin.FreshBudget()}
	for _, p := range today {
		fresh = append(fresh, admin.Under(p))
	}
	return Actions{operator, info, fresh, log}
}

// admin returns an Admin whose events name who makes the request of ctx.
func (a Actions) admin(ctx context.Context) *admin.Admin { return a.operator.As(Who(ctx).By()) }

// Retry retries a failed call, with all of its retries if fresh. Its errors are those of [admin.Admin.Retry]; with
// refcache.ErrNotQueued the call is retried all the same, and the Response filled.
func (a Actions) Retry(ctx context.Context, ref refcache.Ref, fresh bool) (refcache.Response[json.RawMessage], error) {
	var options []admin.RetryOption
	change := Change{What: "retry", Ref: ref}
	if fresh {
		options = a.fresh
		change.What = "retry_fresh"
	}
	res, err := a.admin(ctx).Retry(ctx, ref, options...)
	if err == nil || errors.Is(err, refcache.ErrNotQueued) {
		change.From, change.To = string(refcache.Failed), string(res.Status)
	} else {
		change.Err = err
	}
	Audit(ctx, a.log, change)
	return res, err
}

// Refresh runs a complete call again. Its errors are those of [admin.Admin.Refresh]; with refcache.ErrNotQueued it is on
// record all the same.
func (a Actions) Refresh(ctx context.Context, ref refcache.Ref) error {
	change := Change{What: "refresh", Ref: ref, From: a.status(ctx, ref)}
	res, err := a.admin(ctx).Refresh(ctx, ref)
	change.To = string(res.Status)
	if !errors.Is(err, refcache.ErrNotQueued) {
		change.Err = err
	}
	Audit(ctx, a.log, change)
	return err
}

// Cancel cancels a call in flight, and returns how it ended: a refresh that is cancelled leaves its call complete. Its
// errors are those of [admin.Admin.Cancel].
func (a Actions) Cancel(ctx context.Context, ref refcache.Ref) (refcache.Status, error) {
	change := Change{What: "cancel", Ref: ref, From: a.status(ctx, ref)}
	ended := refcache.Cancelled
	if change.Err = a.admin(ctx).Cancel(ctx, ref); change.Err == nil {
		if info, err := a.info(ctx, ref); err == nil && info.StaleReason == refcache.StaleCancelled {
			ended = refcache.Complete
		}
		change.To = string(ended)
	}
	Audit(ctx, a.log, change)
	return ended, change.Err
}

// Delete deletes a call that has ended. Its errors are those of [admin.Admin.Delete].
func (a Actions) Delete(ctx context.Context, ref refcache.Ref) error {
	change := Change{What: "delete", Ref: ref, From: a.status(ctx, ref)}
	change.Err = a.admin(ctx).Delete(ctx, ref)
	Audit(ctx, a.log, change)
	return change.Err
}

// Pause pauses a queue or a function. Its errors are those of [admin.Admin.Pause].
func (a Actions) Pause(ctx context.Context, t admin.Target, terms admin.PauseTerms) (refcache.Pause, error) {
	noted, err := a.admin(ctx).Pause(ctx, t, terms)
	Audit(ctx, a.log, Change{What: "pause", Scope: t.String(), Err: err})
	return noted, err
}

// Resume ends a pause. Its errors are those of [admin.Admin.Resume].
func (a Actions) Resume(ctx context.Context, t admin.Target) (was bool, err error) {
	was, err = a.admin(ctx).Resume(ctx, t)
	Audit(ctx, a.log, Change{What: "resume", Scope: t.String(), Err: err})
	return was, err
}

// status is how a call stands before it is changed, for the log; empty when that cannot be read.
func (a Actions) status(ctx context.Context, ref refcache.Ref) string {
	info, err := a.info(ctx, ref)
	if err != nil {
		return ""
	}
	return string(info.Status)
}
