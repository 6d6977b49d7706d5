package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/refq/refq/refcache"
)

// RetryOption changes what Retry and RetryAll do. The zero RetryOption changes nothing.
type RetryOption struct {
	fresh bool
	under *refcache.Policy
}

// FreshBudget makes Retry and RetryAll start a new cycle with all of the function's retries, also for a call that has
// none left. The call then runs under today's policy: the one of [Under], else what living workers declare, else its own.
func FreshBudget() RetryOption { return RetryOption{fresh: true} }

// Under makes Retry and RetryAll with [FreshBudget] run calls of the policy's function and version under this policy.
// It is that of Func.Policy: one that could be no declaration's is refused. Function, version, queue and namespace of a
// call stay. There may be one for each of several functions; of two for the same the first counts.
func Under(policy refcache.Policy) RetryOption { return RetryOption{under: &policy} }

func isFresh(options []RetryOption) bool {
	return slices.ContainsFunc(options, func(o RetryOption) bool { return o.fresh })
}

// policiesOf are those of Under. The error says which of them cannot be.
func policiesOf(options []RetryOption) (today []refcache.Policy, err error) {
	for _, o := range options {
		if o.under == nil {
			continue
		}
		if err := o.under.Check(); err != nil {
			return nil, fmt.Errorf("under: %w: take one of Func.Policy", err)
		}
		today = append(today, *o.under)
	}
	return today, nil
}

// Retry runs a failed call again. It spends one of the retries that the call has left; with FreshBudget it starts a
// new cycle under today's policy. It does not wait. The call keeps its arguments and history. The Response tells how
// the call stands then.
//
// The error is refcache.ErrTaskNotFound, refcache.ErrRetriesExhausted, or refcache.ErrNotFailed when the call has any
// other status, also because somebody else was quicker. With refcache.ErrNotQueued the retry was accepted: a worker's
// sweep queues the call.
func (a *Admin) Retry(ctx context.Context, ref refcache.Ref, options ...RetryOption) (refcache.Response[json.RawMessage], error) {
	if err := a.checkMade(); err != nil {
		return refcache.Response[json.RawMessage]{}, err
	}
	today, err := policiesOf(options)
	if err != nil {
		return refcache.Response[json.RawMessage]{}, fmt.Errorf("retry %s: %w", ref, err)
	}
	if isFresh(options) {
		return a.change.RetryFresh(ctx, ref, today)
	}
	return a.change.Retry(ctx, ref)
}

// Policies are what a call runs under, and what living workers would have it run under today.
type Policies struct {
	Stored   refcache.Policy  // on record, without AsyncTimeout, Fresh and FailureAnswer, which are not kept
	Declared *refcache.Policy // by the last started living worker that knows the function; nil: none does
}

// Policies reads the policies of a call. The error is refcache.ErrTaskNotFound when there is no such call.
func (a *Admin) Policies(ctx context.Context, ref refcache.Ref) (Policies, error) {
	if err := a.checkMade(); err != nil {
		return Policies{}, err
	}
	stored, declared, err := a.change.Policies(ctx, ref)
	return Policies{stored, declared}, err
}

// Refresh runs a complete call again, under the policy and with the arguments that are on record. It does not wait. Calls
// are answered with the old result meanwhile, and after that if the run fails. The Response tells how the call stands
// then, without its result.
//
// A call that is being run is left to it. One that has failed is run anew if its failure answers calls no longer, and a
// cancelled one always is: to run any failed call use [Admin.Retry]. The error is refcache.ErrTaskNotFound. With
// refcache.ErrNotQueued the call is on record as pending: a worker's sweep queues it.
func (a *Admin) Refresh(ctx context.Context, ref refcache.Ref) (refcache.Response[json.RawMessage], error) {
	if err := a.checkMade(); err != nil {
		return refcache.Response[json.RawMessage]{}, err
	}
	return a.change.Refresh(ctx, ref)
}

// Cancel ends a call in flight at once. Its status is cancelled, a running attempt is told to stop, and what that
// attempt still returns is dropped. To cancel a cancelled call again is a success. The error is
// refcache.ErrTaskNotFound, or refcache.ErrNotCancellable when the call has ended otherwise.
func (a *Admin) Cancel(ctx context.Context, ref refcache.Ref) error {
	if err := a.checkMade(); err != nil {
		return err
	}
	return a.change.Cancel(ctx, ref)
}

// Delete removes a call that has ended, with its result and history. Producers that keep the result in memory forget
// it within milliseconds, by a message. The error is refcache.ErrTaskNotFound, or refcache.ErrInFlight. A call whose
// record is damaged is removed in any status.
func (a *Admin) Delete(ctx context.Context, ref refcache.Ref) error {
	if err := a.checkMade(); err != nil {
		return err
	}
	return a.change.Delete(ctx, ref)
}
