package api

import (
	"errors"
	"net/http"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/refcache"
)

// kinds are the problems that the errors of refcache are. There is none for ErrNotQueued: the call is accepted.
var kinds = []struct {
	err    error
	name   string
	title  string
	status int
}{
	{refcache.ErrTaskNotFound, "task-not-found", "No such call", http.StatusNotFound},
	{refcache.ErrNotFailed, "not-failed", "Only failed calls can be retried", http.StatusConflict},
	{refcache.ErrRetriesExhausted, "retries-exhausted", "No retries left", http.StatusConflict},
	{refcache.ErrNotCancellable, "not-cancellable", "The call has ended already", http.StatusConflict},
	{refcache.ErrInFlight, "in-flight", "The call is in flight", http.StatusConflict},
	{refcache.ErrKeyConflict, "key-conflict", "The key is taken by other arguments", http.StatusConflict},
	{refcache.ErrTooManyWaiting, "too-many-waiting", "Too many calls wait", http.StatusTooManyRequests},
	{refcache.ErrArgsTooLarge, "args-too-large", "Arguments too large", http.StatusRequestEntityTooLarge},
	{refcache.ErrInvalidRef, "invalid-ref", "Not a ref_id", http.StatusBadRequest},
	{admin.ErrUnknownQueue, "unknown-queue", "Unknown queue", http.StatusUnprocessableEntity},
	{admin.ErrInvalidCursor, "invalid-cursor", "Not a cursor", http.StatusBadRequest},
	{admin.ErrNoGate, "gate-not-found", "No such gate", http.StatusNotFound},
	{admin.ErrInvalidSetting, "invalid-setting", "Not a setting of a gate", http.StatusUnprocessableEntity},
	{refcache.ErrNotCached, "not-cached", "Not cached", http.StatusGatewayTimeout},
	{refcache.ErrUnreadable, "unreadable", "Unreadable record", http.StatusInternalServerError},
}

// problem is what a client is told of an error. What is none of refcache's and none of ours means that Redis did not
// answer as it should.
func (a *API) problem(err error) access.Problem {
	p := access.Problem{Type: access.URN("unavailable"), Title: "Could not be found out", Status: http.StatusServiceUnavailable}
	if f, ok := errors.AsType[*failure](err); ok {
		p = f.Problem
	} else {
		for _, k := range kinds {
			if errors.Is(err, k.err) {
				p = access.Problem{Type: access.URN(k.name), Title: k.title, Status: k.status}
				break
			}
		}
	}
	p.Detail = a.cfg.Redact.Text(err.Error())
	return p
}

func badRequest(err error) error {
	return refusal("bad-request", "Bad request", http.StatusBadRequest, err)
}

func unprocessable(name, title string, err error) error {
	return refusal(name, title, http.StatusUnprocessableEntity, err)
}
