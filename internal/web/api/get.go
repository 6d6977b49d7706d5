package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/refq/refq/internal/web/server"
	"github.com/refq/refq/refcache"
)

// get answers GET /calls/{ref}: now, when the call has ended or the wait is over, or with every change.
func (a *API) get(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r, "format", "wait")
	if err != nil {
		return err
	}
	format, err := format(values)
	if err != nil {
		return err
	}
	ref, err := pathRef(r)
	if err != nil {
		return err
	}
	if wantsEvents(r) {
		return a.events(w, r, ref, format)
	}
	var wait time.Duration
	if values.Has("wait") {
		if wait, err = parseWait(values.Get("wait")); err != nil {
			return err
		}
	}
	res, err := a.await(w, r, ref, wait)
	if err != nil {
		return err
	}
	return a.answer(w, res, format)
}

// await returns how the call stands when it has ended, the wait is over, or the server stops.
func (a *API) await(w http.ResponseWriter, r *http.Request, ref refcache.Ref, wait time.Duration) (response, error) {
	if wait > 0 {
		ctx, cancel := server.Linger(w, r)
		defer cancel()
		ctx, over := context.WithTimeout(ctx, wait)
		defer over()
		res, err := a.reader.Wait(ctx, ref)
		_, ended := errors.AsType[*refcache.TaskError](err)
		if err == nil || ended {
			return res, nil
		}
		if ctx.Err() == nil || errors.Is(err, refcache.ErrTaskNotFound) {
			return res, err
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	return a.reader.Get(ctx, ref) // later than the last look of Wait
}

// result answers GET /calls/{ref}/result: the bytes that the function returned.
func (a *API) result(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	ref, err := pathRef(r)
	if err != nil {
		return err
	}
	res, err := a.reader.Get(r.Context(), ref)
	switch {
	case err != nil:
		return err
	case !res.HasValue:
		if res.Status.InFlight() {
			w.Header().Set("Retry-After", retryAfter(res, time.Now()))
		}
		return noResult(res)
	}
	w.Header().Set("Refq-Status", string(res.Status))
	write(w, http.StatusOK, "application/json", a.cfg.Redact.JSON(res.Value))
	return nil
}

func noResult(res response) error {
	switch res.Status {
	case refcache.Failed:
		return refusal("call-failed", "The call failed", http.StatusConflict, fmt.Errorf("no result of %s, the call failed: %s", res.RefID, res.Error))
	case refcache.Cancelled:
		return refusal("call-cancelled", "The call was cancelled", http.StatusConflict, fmt.Errorf("no result of %s, the call was cancelled", res.RefID))
	}
	return refusal("in-flight", "The call is in flight", http.StatusConflict, fmt.Errorf("no result of %s yet, the call is %s", res.RefID, res.Status))
}

// task answers GET /calls/{ref}/task: everything that is known but arguments and result.
func (a *API) task(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	ref, err := pathRef(r)
	if err != nil {
		return err
	}
	info, err := a.reader.Info(r.Context(), ref)
	if err != nil {
		return err
	}
	text, err := encode(a.cfg.Redact.TaskInfo(info))
	if err != nil {
		return err
	}
	write(w, http.StatusOK, "application/json", text)
	return nil
}
