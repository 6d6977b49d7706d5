package main

import (
	"context"
	"errors"
	"time"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// await waits until the task has ended, waitLimit is over (0: there is no end to it) or ctx has ended, and answers how
// the task stands then: if ctx ended before it could look, as known, which tells at least the ref_id. On a terminal it
// shows the progress meanwhile. The error is that it could not find out, or a *refcache.TaskError of a refresh that it
// saw end without a new result.
func (a *app) await(ctx context.Context, p *producer.Producer, known response, waitLimit time.Duration) (response, error) {
	ref := known.RefID
	waiting, stop := context.WithCancel(ctx)
	if waitLimit > 0 {
		waiting, stop = context.WithTimeout(ctx, waitLimit)
	}
	defer stop()
	endWatch := a.watch(waiting, p, ref)
	res, err := p.Wait(waiting, ref)
	over := waiting.Err() != nil
	seen := endWatch()

	res.RefID = ref
	var ended *refcache.TaskError
	switch {
	case errors.As(err, &ended) && ended.Refresh:
		return res, ended
	case err == nil || ended != nil:
		return res, nil
	case !over || errors.Is(err, refcache.ErrTaskNotFound):
		return res, err
	case ctx.Err() != nil && res.Status == "":
		return known, nil
	case ctx.Err() != nil:
		return later(res, seen), nil
	}
	return p.Get(ctx, ref) // later than the last look of Wait
}

// later is how a call in flight was seen last: as it was when waiting began, unless the terminal showed since what holds it up.
func later(begun response, seen *response) response {
	if seen != nil && isHeldUp(seen) {
		return *seen
	}
	return begun
}

// conclude prints what a call or waiting came to, and exits by it. A task that is still in flight goes on: that is said.
// err is the error of a refresh that ended without a new result, whose old one is printed; or that nothing is known.
func (a *app) conclude(r response, err error, format refcache.Format) error {
	if _, kept := refreshError(err); err != nil && !kept {
		return err
	}
	if r.Status != "" {
		if err := a.answer(r, format); err != nil {
			return err
		}
	}
	if !r.Status.IsFinal() {
		a.notice("the call goes on; wait for its end with: refq wait %s", r.RefID)
	}
	if ended, kept := refreshError(err); kept {
		a.complain(err)
		return exitByRefresh(ended)
	}
	return exitBy(r.Status)
}

// refreshError is the error of a refresh that ended without a new result, if err is one.
func refreshError(err error) (*refcache.TaskError, bool) {
	var ended *refcache.TaskError
	return ended, errors.As(err, &ended) && ended.Refresh
}

// exitByRefresh tells how the refresh of a complete call ended.
func exitByRefresh(ended *refcache.TaskError) error {
	if ended.Info.StaleReason == refcache.StaleCancelled {
		return exitStatus(exitCancelled)
	}
	return exitStatus(exitFailed)
}
