package producer

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/refq/refq/refcache"
)

// Retry runs a failed call again and spends one of the retries that it has left. It does not wait. The call keeps its
// policy, arguments and history. The Response tells how the call stands then.
//
// The error is refcache.ErrTaskNotFound, refcache.ErrRetriesExhausted, or refcache.ErrNotFailed when the call has any
// other status, also because somebody else was quicker. With refcache.ErrNotQueued the retry was accepted, as with
// [Submit]. Events name user@host: for a person's name, or all of the retries anew, use package admin.
func (p *Producer) Retry(ctx context.Context, ref refcache.Ref) (refcache.Response[json.RawMessage], error) {
	if err := p.checkCaller(); err != nil {
		return refcache.Response[json.RawMessage]{}, fmt.Errorf("retry %s: %w", ref, err)
	}
	return p.change.Retry(ctx, ref)
}

// Cancel ends a call in flight at once. Its status is cancelled, a running attempt is told to stop, and what that
// attempt still returns is dropped. To cancel a cancelled call again is a success. The error is
// refcache.ErrTaskNotFound, or refcache.ErrNotCancellable when the call has ended otherwise.
func (p *Producer) Cancel(ctx context.Context, ref refcache.Ref) error {
	if err := p.checkCaller(); err != nil {
		return fmt.Errorf("cancel %s: %w", ref, err)
	}
	return p.change.Cancel(ctx, ref)
}

// Delete removes a call that has ended, with its result and history. This Producer forgets the result before Delete
// returns; others forget it within milliseconds, by a message. The error is refcache.ErrTaskNotFound, or
// refcache.ErrInFlight. A call whose record is damaged is removed in any status.
func (p *Producer) Delete(ctx context.Context, ref refcache.Ref) error {
	if err := p.checkCaller(); err != nil {
		return fmt.Errorf("delete %s: %w", ref, err)
	}
	defer p.local.forget(ref) // also if it is not known whether it was deleted
	return p.change.Delete(ctx, ref)
}
