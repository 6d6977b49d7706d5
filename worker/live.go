package worker

import (
	"context"
	"sync"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// live holds the attempts of this process: exactly those whose token somebody here still claims, runs or finishes. A
// token is in it before its claim is sent (R2), so a claim in Redis whose token is not here was lost on the way.
type live struct {
	base context.Context // of all attempts; set before the first

	mu          sync.Mutex
	runs        map[string]*run // by token
	interrupted bool
	empty       []chan struct{} // closed when runs becomes empty
}

func (l *live) add(ref refcache.Ref, token string) *run {
	ctx, cancel := context.WithCancelCause(l.base)
	r := &run{ref: ref, token: token, ctx: ctx, cancel: cancel}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs == nil {
		l.runs = map[string]*run{}
	}
	l.runs[token] = r
	if l.interrupted {
		cancel(ErrShutdown)
	}
	return r
}

func (l *live) remove(r *run) {
	r.cancel(nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.runs, r.token)
	if len(l.runs) == 0 {
		for _, c := range l.empty {
			close(c)
		}
		l.empty = nil
	}
}

// claimed marks that the claim of a run was answered, and of which task it is: only from now on may a beat find the token void.
func (l *live) claimed(r *run, ref refcache.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.ref, r.claimed = ref, true
}

// claims returns the attempts in a queue whose claim was answered.
func (l *live) claims(queue string) []store.Claim {
	l.mu.Lock()
	defer l.mu.Unlock()
	var claims []store.Claim
	for token, r := range l.runs {
		if r.claimed && r.ref.Queue() == queue {
			claims = append(claims, store.Claim{Ref: r.ref, Token: token})
		}
	}
	return claims
}

func (l *live) has(token string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[token] != nil
}

func (l *live) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.runs)
}

// void ends the attempt that holds token, if it is here: its outcome is no longer wanted.
func (l *live) void(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.runs[token]; r != nil {
		r.cancel(ErrVoid)
	}
}

// interrupt ends all attempts because the worker stops, those as well that are still to come.
func (l *live) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupted = true
	for _, r := range l.runs {
		r.cancel(ErrShutdown)
	}
}

// drained returns a channel that is closed once no attempt is left.
func (l *live) drained() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan struct{})
	if len(l.runs) == 0 {
		close(c)
		return c
	}
	l.empty = append(l.empty, c)
	return c
}
