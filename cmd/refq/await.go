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
// shows the progress meanwhile. The error is that it could not find out.
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
	endWatch()

	res.RefID = ref
	var ended *refcache.TaskError
	switch {
	case err == nil || errors.As(err, &ended):
		return res, nil
	case !over || errors.Is(err, refcache.ErrTaskNotFound):
		return res, err
	case ctx.Err() != nil && res.Status == "":
		return known, nil
	case ctx.Err() != nil:
		return res, nil
	}
	return p.Get(ctx, ref) // later than the last look of Wait
}

// conclude prints what waiting came to, and exits by it. A task that is still in flight goes on: that is said.
func (a *app) conclude(r response, format refcache.Format) error {
	if r.Status != "" {
		if err := a.answer(r, format); err != nil {
			return err
		}
	}
	if !r.Status.IsFinal() {
		a.notice("the call goes on; wait for its end with: refq wait %s", r.RefID)
	}
	return exitBy(r.Status)
}
