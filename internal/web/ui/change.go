package ui

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/refq/refq/refcache"
)

// retry answers POST /calls/{ref}/retry.
func (u *UI) retry(w http.ResponseWriter, r *http.Request) error {
	fresh := r.PostFormValue("fresh") == "true"
	return u.byHand(w, r, func(ref refcache.Ref) error { return u.retryOne(r, ref, fresh) }, "retried")
}

// refresh answers POST /calls/{ref}/refresh.
func (u *UI) refresh(w http.ResponseWriter, r *http.Request) error {
	return u.byHand(w, r, func(ref refcache.Ref) error {
		err := u.actions.Refresh(r.Context(), ref)
		u.warnIfNotQueued(r, ref, err)
		return err
	}, "refreshed")
}

// cancel answers POST /calls/{ref}/cancel.
func (u *UI) cancel(w http.ResponseWriter, r *http.Request) error {
	return u.byHand(w, r, func(ref refcache.Ref) error { return u.cancelOne(r, ref) }, "cancelled")
}

func (u *UI) cancelOne(r *http.Request, ref refcache.Ref) error {
	_, err := u.actions.Cancel(r.Context(), ref)
	return err
}

// delete answers POST /calls/{ref}/delete.
func (u *UI) delete(w http.ResponseWriter, r *http.Request) error {
	return u.byHand(w, r, func(ref refcache.Ref) error { return u.actions.Delete(r.Context(), ref) }, "deleted")
}

// byHand does something to the call in the path, and leads back to its page, which says what came of it. That somebody
// else was quicker is no error.
func (u *UI) byHand(w http.ResponseWriter, r *http.Request, do func(refcache.Ref) error, done string) error {
	ref, err := pathRef(r)
	if err != nil {
		return err
	}
	err = do(ref)
	for _, race := range races {
		if errors.Is(err, race.err) {
			done, err = race.said, nil
			break
		}
	}
	if err != nil {
		return err
	}
	to := callPath(ref)
	if done == "deleted" || done == "gone" {
		to = "/calls"
	}
	http.Redirect(w, r, to+"?"+url.Values{"said": {done}}.Encode(), http.StatusSeeOther)
	return nil
}

// races are the errors that say that the call is no longer as the page showed it.
var races = []struct {
	err  error
	said string
}{
	{refcache.ErrTaskNotFound, "gone"},
	{refcache.ErrNotFailed, "not-failed"},
	{refcache.ErrRetriesExhausted, "exhausted"},
	{refcache.ErrNotCancellable, "not-cancellable"},
	{refcache.ErrInFlight, "in-flight"},
	{refcache.ErrNotQueued, "not-queued"},
}

// said is the sentence for what was just done, or why not. A request cannot make it say anything else.
func said(r *http.Request, t refcache.TaskInfo) string {
	switch r.URL.Query().Get("said") {
	case "retried":
		return "The call was retried."
	case "refreshed":
		return "The call runs again. Its old result answers until a new one is there."
	case "cancelled":
		if t.StaleReason == refcache.StaleCancelled {
			return "The refresh was cancelled. The old result stays."
		}
		return "The call was cancelled."
	case "deleted":
		return "The call was deleted."
	case "gone":
		return "There is no such call any more: it was deleted, or it has expired."
	case "not-failed":
		return "Nothing was retried: only a failed call can be, and this one " + stands(t) + ". Perhaps somebody else was quicker."
	case "exhausted":
		return "Nothing was retried: no retries are left. Retry it with a fresh budget."
	case "not-cancellable":
		return "Nothing was cancelled: the call had ended before. It is " + string(t.Status) + "."
	case "in-flight":
		return "Nothing was deleted: the call is in flight again. Cancel it first."
	case "paused":
		return "It is paused: workers start none of its calls. What runs goes on."
	case "resumed":
		return "It is resumed."
	case "not-paused":
		return "Nothing was resumed: it was not paused. Perhaps somebody else was quicker."
	case "not-queued":
		return "The call is to run. No worker could be told of it yet: one finds it within seconds."
	}
	return ""
}

// stands tells how a call that was no longer failed stands now.
func stands(t refcache.TaskInfo) string {
	if t.Status == refcache.Failed {
		return "was in flight, and has failed again"
	}
	return "is " + string(t.Status)
}

// retryOne retries a call.
func (u *UI) retryOne(r *http.Request, ref refcache.Ref, fresh bool) error {
	_, err := u.actions.Retry(r.Context(), ref, fresh)
	u.warnIfNotQueued(r, ref, err)
	return err
}

func (u *UI) warnIfNotQueued(r *http.Request, ref refcache.Ref, err error) {
	if errors.Is(err, refcache.ErrNotQueued) {
		u.log.WarnContext(r.Context(), "no worker could be told of a call", "ref_id", string(ref), "err", err)
	}
}
