package api

import (
	"errors"
	"net/http"

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
	res, err := a.actions.Retry(r.Context(), ref, fresh)
	if errors.Is(err, refcache.ErrNotQueued) {
		a.notQueued(r.Context(), err)
		err = nil
	}
	if err != nil {
		return err
	}
	w.Header().Set("Location", location(ref))
	return a.answer(w, res, format)
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
	status, err := a.actions.Cancel(r.Context(), ref)
	if err != nil {
		return err
	}
	kept := status == refcache.Complete // a refresh was cancelled
	return a.answer(w, response{RefID: ref, Status: status, IsComplete: kept, IsStale: kept}, refcache.Minimal)
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
	if err := a.actions.Delete(r.Context(), ref); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
