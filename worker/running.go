package worker

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// running holds the attempts of this process: exactly those whose token somebody here still claims, runs or finishes. A token is
// in it before its claim is sent (R2), so a claim in Redis whose token is not here was lost on the way. It may be used
// concurrently.
type running struct {
	base context.Context // of all attempts; set before the first

	mu          sync.Mutex
	attempts    map[string]*attempt // by token
	interrupted bool
	empty       []chan struct{} // closed when there is no attempt left
}

// add takes in an attempt, and makes its context.
func (r *running) add(a *attempt) {
	a.ctx, a.cancel = context.WithCancelCause(r.base)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.attempts == nil {
		r.attempts = map[string]*attempt{}
	}
	r.attempts[a.token] = a
	if r.interrupted {
		a.cancel(ErrShutdown)
	}
}

func (r *running) remove(a *attempt) {
	a.cancel(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.attempts, a.token)
	if len(r.attempts) == 0 {
		for _, c := range r.empty {
			close(c)
		}
		r.empty = nil
	}
}

// claim notes what the claim of an attempt was answered with: only from now on may a heartbeat find its token void.
func (r *running) claim(a *attempt, claimed store.ClaimAnswer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.ref, a.claimed, a.claimedAt = claimed.Record.Ref, claimed, time.Now()
}

// claims returns the attempts in a queue whose claim was answered.
func (r *running) claims(queue string) []store.Claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	var claims []store.Claim
	for token, a := range r.attempts {
		if a.claimed.Run && a.ref.Queue() == queue {
			claims = append(claims, store.Claim{Ref: a.ref, Token: token})
		}
	}
	return claims
}

// oldestTold is how many attempts of a queue a beat tells of.
const oldestTold = 5

// oldest are the attempts in a queue that have run longest, the longest first.
func (r *running) oldest(queue string, now time.Time) (all []store.Runs) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.attempts {
		if a.claimed.Run && a.ref.Queue() == queue {
			policy := a.claimed.Record.Policy
			runs := store.Runs{Ref: a.ref, Func: monitor.WaitingFunction{Func: policy.Name, Version: policy.Version}.String(),
				MS: now.Sub(a.claimedAt).Milliseconds()}
			if ns := a.claimed.Record.Namespace; ns != refcache.DefaultNamespace {
				runs.Namespace = ns
			}
			all = append(all, runs)
		}
	}
	slices.SortFunc(all, func(a, b store.Runs) int { return cmp.Or(cmp.Compare(b.MS, a.MS), cmp.Compare(a.Ref, b.Ref)) })
	return all[:min(len(all), oldestTold)]
}

// claimed is how many attempts there are whose claim was answered: those besides may come to nothing, as most that an idle worker asks
// for do.
func (r *running) claimed() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.attempts {
		if a.claimed.Run {
			n++
		}
	}
	return n
}

func (r *running) has(token string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.attempts[token] != nil
}

// count is how many attempts there are, those too whose claim was not answered.
func (r *running) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.attempts)
}

// void ends the attempt that holds token, if it is here: its outcome is no longer wanted.
func (r *running) void(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.attempts[token]; a != nil {
		a.cancel(ErrVoid)
	}
}

// interrupt ends all attempts because the worker stops, those as well that are still to come.
func (r *running) interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interrupted = true
	for _, a := range r.attempts {
		a.cancel(ErrShutdown)
	}
}

// drained returns a channel that is closed once no attempt is left.
func (r *running) drained() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := make(chan struct{})
	if len(r.attempts) == 0 {
		close(c)
		return c
	}
	r.empty = append(r.empty, c)
	return c
}
