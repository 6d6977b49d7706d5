// Package byhand changes calls for those who ask over HTTP, be it by a page or by the API: in their name, and with a line of
// the log for each change.
package byhand

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// Hand changes calls. It may be used concurrently.
type Hand struct {
	producer *producer.Producer
	log      *slog.Logger
}

// New returns a Hand for the calls that p knows. The log hears of every change, and of every one that was refused
// ([access.Audit]).
func New(p *producer.Producer, log *slog.Logger) Hand { return Hand{p, log} }

// InTheNameOf is a producer whose events name who makes the request of ctx.
func (h Hand) InTheNameOf(ctx context.Context) *producer.Producer {
	return h.producer.As(access.Who(ctx).By())
}

// Retry retries a failed call, with all of its retries if fresh. Its errors are those of [producer.Producer.RetryTask]; with
// refcache.ErrNotQueued the call is retried all the same, and the Response filled.
func (h Hand) Retry(ctx context.Context, ref refcache.Ref, fresh bool) (refcache.Response[json.RawMessage], error) {
	var options []producer.RetryOption
	change := access.Change{What: "retry", Ref: ref}
	if fresh {
		options = append(options, producer.FreshBudget())
		change.What = "retry_fresh"
	}
	res, err := h.InTheNameOf(ctx).RetryTask(ctx, ref, options...)
	if err == nil || errors.Is(err, refcache.ErrNotQueued) {
		change.From, change.To = string(refcache.Failed), string(res.Status)
	} else {
		change.Err = err
	}
	access.Audit(ctx, h.log, change)
	return res, err
}

// Cancel cancels a call in flight. Its errors are those of [producer.Producer.Cancel].
func (h Hand) Cancel(ctx context.Context, ref refcache.Ref) error {
	change := access.Change{What: "cancel", Ref: ref, From: h.status(ctx, ref), To: string(refcache.Cancelled)}
	if err := h.InTheNameOf(ctx).Cancel(ctx, ref); err != nil {
		change.To, change.Err = "", err
	}
	access.Audit(ctx, h.log, change)
	return change.Err
}

// Delete deletes a call that has ended. Its errors are those of [producer.Producer.Delete].
func (h Hand) Delete(ctx context.Context, ref refcache.Ref) error {
	change := access.Change{What: "delete", Ref: ref, From: h.status(ctx, ref)}
	change.Err = h.InTheNameOf(ctx).Delete(ctx, ref)
	access.Audit(ctx, h.log, change)
	return change.Err
}

// status is how a call stands before it is changed, for the log; empty when that cannot be read.
func (h Hand) status(ctx context.Context, ref refcache.Ref) string {
	info, err := h.producer.TaskInfo(ctx, ref)
	if err != nil {
		return ""
	}
	return string(info.Status)
}
