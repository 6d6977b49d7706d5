package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/errpattern"
	"github.com/refq/refq/refcache"
)

// callPage is what the page of a call shows.
type callPage struct {
	admin.Task
	LastError errorText
	Alike     int // how many attempts before it failed like the last one
	Timeline  timeline
	Args      jsonText
	Result    jsonText
	Monitor   string // its page among asynq's; empty: there is none
}

// WhyNoRetry tells why the call is not tried again by itself.
func (p callPage) WhyNoRetry() string { return whyNoRetry(p.TaskInfo) }

// Took is how long the last attempt of a complete call took; 0: that is not known.
func (p callPage) Took() time.Duration {
	if p.StartedAt == nil || p.CompletedAt == nil {
		return 0
	}
	return p.CompletedAt.Sub(*p.StartedAt)
}

// Percent is how much of a running attempt is done; 0 when that is not known.
func (p callPage) Percent() int {
	if p.Progress == nil || p.Progress.Percentage == nil {
		return 0
	}
	return int(*p.Progress.Percentage)
}

// CancelledBy is who cancelled it; empty: that is not kept.
func (p callPage) CancelledBy() string {
	for _, e := range slices.Backward(p.Events) {
		if e.Kind == refcache.EventCancel {
			return e.By
		}
	}
	return ""
}

// showCall answers GET /calls/{ref}.
func (u *UI) showCall(w http.ResponseWriter, r *http.Request) error {
	ref, err := pathRef(r)
	if err != nil {
		return err
	}
	task, err := u.task(r, ref)
	if errors.Is(err, refcache.ErrUnreadable) {
		return u.render(w, r, http.StatusInternalServerError, "unreadable.html", page{Title: "Unreadable record", Notice: said(r, refcache.TaskInfo{}),
			Data: unreadablePage{ref, u.cfg.Redact.Text(err.Error())}})
	}
	if err != nil {
		return err
	}
	data := callPage{Task: task, LastError: splitError(task.LastError), Alike: alikeInARow(task.RetryHistory), Timeline: newTimeline(task),
		Args: newJSONText(task.Args), Result: newJSONText(task.Result), Monitor: monitorPath(task)}
	return u.render(w, r, http.StatusOK, "call.html", page{Title: fmt.Sprintf("%s %s", task.Func, task.Status), Live: string(ref),
		Notice: said(r, task.TaskInfo), Data: data})
}

type unreadablePage struct {
	Ref   refcache.Ref
	Error string
}

// task reads a task, without what nobody should read.
func (u *UI) task(r *http.Request, ref refcache.Ref) (admin.Task, error) {
	task, err := u.admin.Task(r.Context(), ref)
	if err != nil {
		return task, err
	}
	task.TaskInfo = u.cfg.Redact.TaskInfo(task.TaskInfo)
	task.Args, task.Result = u.cfg.Redact.JSON(task.Args), u.cfg.Redact.JSON(task.Result)
	return task, nil
}

// alikeInARow counts the attempts before the last one that failed like it, without another failure between.
func alikeInARow(history []refcache.Attempt) int {
	n, last := -1, ""
	for _, a := range slices.Backward(history) {
		switch pattern := errpattern.Pattern(a.Error); {
		case a.Cause == refcache.CauseCancelled:
			continue // it tells of who cancelled it
		case n >= 0 && pattern != last:
			return n
		default:
			last = pattern
		}
		n++
	}
	return max(0, n)
}

// monitorPath leads to the asynq task that tells workers of this one. asynq forgets those of calls that have ended well, and
// one that waits for its turn has none.
func monitorPath(t admin.Task) string {
	if t.Status == refcache.Waiting || t.Status == refcache.Complete || t.Status == refcache.Cancelled {
		return ""
	}
	return "/queues/queues/" + url.PathEscape(t.Queue) + "/tasks/" + url.PathEscape(t.Doorbell)
}

func pathRef(r *http.Request) (refcache.Ref, error) { return refcache.ParseRef(r.PathValue("ref")) }

// args answers GET /calls/{ref}/args: the whole of them, as a file.
func (u *UI) args(w http.ResponseWriter, r *http.Request) error {
	return u.download(w, r, "args", func(t admin.Task) json.RawMessage { return t.Args })
}

// result answers GET /calls/{ref}/result: the whole of it, as a file.
func (u *UI) result(w http.ResponseWriter, r *http.Request) error {
	return u.download(w, r, "result", func(t admin.Task) json.RawMessage { return t.Result })
}

func (u *UI) download(w http.ResponseWriter, r *http.Request, what string, of func(admin.Task) json.RawMessage) error {
	ref, err := pathRef(r)
	if err != nil {
		return err
	}
	task, err := u.task(r, ref)
	if err != nil {
		return err
	}
	text := of(task)
	if text == nil {
		return &refusal{http.StatusNotFound, "No " + what, fmt.Errorf("call %s is %s: there is no %s", ref, task.Status, what)}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": ref.Hash() + "." + what + ".json"}))
	_, _ = w.Write(text) // who is not there to read it cannot be told
	return nil
}
