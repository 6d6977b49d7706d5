package ui

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/refcache"
)

// refusal is an error that knows how it is shown.
type refusal struct {
	status int
	title  string
	cause  error
}

func (f *refusal) Error() string { return f.cause.Error() }
func (f *refusal) Unwrap() error { return f.cause }

var errTooMany = &refusal{http.StatusTooManyRequests, "Too many requests",
	errors.New("as many requests as this server takes at a time are at work: try again in a moment")}

// failures says how the errors of refcache are shown. Others mean that Redis did not answer as it should.
var failures = []struct {
	err    error
	status int
	title  string
}{
	{refcache.ErrTaskNotFound, http.StatusNotFound, "No such call"},
	{refcache.ErrInvalidRef, http.StatusNotFound, "Not a ref_id"},
	{admin.ErrNoGate, http.StatusNotFound, "No such gate"},
	{admin.ErrInvalidCursor, http.StatusBadRequest, "Not a page of the list"},
	{refcache.ErrKeyConflict, http.StatusConflict, "The key is taken by other arguments"},
	{refcache.ErrTooManyWaiting, http.StatusTooManyRequests, "Too many calls wait"},
	{refcache.ErrUnreadable, http.StatusInternalServerError, "Unreadable record"},
}

func judge(err error) *refusal {
	if f, ok := errors.AsType[*refusal](err); ok {
		return f
	}
	for _, f := range failures {
		if errors.Is(err, f.err) {
			return &refusal{f.status, f.title, err}
		}
	}
	return &refusal{http.StatusServiceUnavailable, "Redis does not answer", err}
}

// fail answers with a page about an error. It says what to do, and goes away by itself where the fault does.
func (u *UI) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := judge(err)
	p := page{Title: f.title, Data: u.cfg.Redact.Text(err.Error())}
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "2")
		p.Live = liveQueues
	}
	if f.status >= http.StatusInternalServerError {
		u.log.ErrorContext(r.Context(), "page failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	if err := u.render(w, r, f.status, "error.html", p); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// nothingHere answers what no route is for.
func (u *UI) nothingHere(_ http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return &refusal{http.StatusMethodNotAllowed, "Nothing to do here", fmt.Errorf("nothing can be sent to %s", r.URL.Path)}
	}
	return &refusal{http.StatusNotFound, "No such page", fmt.Errorf("there is no page %s", r.URL.Path)}
}
