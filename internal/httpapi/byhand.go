package httpapi

import (
	"errors"
	"net/http"

	"github.com/refq/refq/internal/guard"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// retry answers POST /calls/{ref}/retry.
func (a *API) retry(w http.ResponseWriter, r *http.Request) error {
	values, err := bodiless(r, "format", "fresh")
	if err != nil {
		return err
	}
	format, err := format(values)
	if err != nil {
		return err
	}
	fresh, err := boolean(values, "fresh")
	if err != nil {
		return err
	}
	ref, err := pathRef(r)
	if err != nil {
		return err
	}
	var options []producer.RetryOption
	change := guard.Change{What: "retry", Ref: ref}
	if fresh {
		options = append(options, producer.FreshBudget())
		change.What = "retry_fresh"
	}
	res, err := a.inTheNameOf(r).RetryTask(r.Context(), ref, options...)
	if errors.Is(err, refcache.ErrNotQueued) {
		a.notQueued(r.Context(), err)
		err = nil
	}
	if change.Err = err; err == nil {
		change.From, change.To = string(refcache.Failed), string(res.Status)
	}
	guard.Audit(r.Context(), a.log, change)
	if err != nil {
		return err
	}
	w.Header().Set("Location", location(ref))
	return a.answer(w, res, format)
}

// inTheNameOf is a producer whose events name who makes the request.
func (a *API) inTheNameOf(r *http.Request) *producer.Producer {
	return a.producer.As(guard.Who(r.Context()).By())
}

// cancel answers POST /calls/{ref}/cancel.
func (a *API) cancel(w http.ResponseWriter, r *http.Request) error {
	if _, err := bodiless(r); err != nil {
		return err
	}
	ref, err := pathRef(r)
	if err != nil {
		return err
	}
	change := guard.Change{What: "cancel", Ref: ref, From: a.status(r, ref), To: string(refcache.Cancelled)}
	if err := a.inTheNameOf(r).Cancel(r.Context(), ref); err != nil {
		change.To, change.Err = "", err
	}
	guard.Audit(r.Context(), a.log, change)
	if change.Err != nil {
		return change.Err
	}
	return a.answer(w, response{RefID: ref, Status: refcache.Cancelled}, refcache.Minimal)
}

// delete answers DELETE /calls/{ref}.
func (a *API) delete(w http.ResponseWriter, r *http.Request) error {
	if _, err := bodiless(r); err != nil {
		return err
	}
	ref, err := pathRef(r)
	if err != nil {
		return err
	}
	change := guard.Change{What: "delete", Ref: ref, From: a.status(r, ref)}
	change.Err = a.inTheNameOf(r).Delete(r.Context(), ref)
	guard.Audit(r.Context(), a.log, change)
	if change.Err != nil {
		return change.Err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// status is how a call stands before it is changed, for the log; empty when that cannot be read.
func (a *API) status(r *http.Request, ref refcache.Ref) string {
	info, err := a.producer.TaskInfo(r.Context(), ref)
	if err != nil {
		return ""
	}
	return string(info.Status)
}
