package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/refcache"
)

const (
	usualPage = 50
	maxPage   = 500
)

// page is a part of a list, as clients get it.
type page struct {
	Calls    []refcache.TaskInfo `json:"calls"`
	Searched int                 `json:"searched"` // how many calls were looked at
	Next     *admin.Cursor       `json:"next"`     // null: there is no more
	Missing  missing             `json:"missing,omitempty"`
}

// list answers GET /calls.
func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r, "status", "func", "queue", "error", "since", "stale", "namespace", "limit", "cursor")
	if err != nil {
		return err
	}
	filter, err := filter(values)
	if err != nil {
		return err
	}
	limit, err := whole(values, "limit", usualPage, maxPage)
	if err != nil {
		return err
	}
	found, err := a.admin.Page(r.Context(), filter, admin.Cursor(values.Get("cursor")), limit)
	out := page{Calls: []refcache.TaskInfo{}, Searched: found.Searched}
	if out.Missing, err = a.missing(err); err != nil {
		return err
	}
	for _, info := range found.Tasks {
		info = a.cfg.Redact.TaskInfo(info)
		if info.Unreadable != "" || strings.Contains(info.LastError, filter.Error) { // who guesses at what is hidden is not told
			out.Calls = append(out.Calls, info)
		}
	}
	if found.Next != "" {
		out.Next = &found.Next
	}
	return writeJSON(w, out)
}

func filter(values url.Values) (admin.Filter, error) {
	f := admin.Filter{Namespace: values.Get("namespace"), Status: refcache.Status(values.Get("status")), Func: values.Get("func"), Queue: values.Get("queue"),
		Error: values.Get("error")}
	if f.Status != "" && !slices.Contains(refcache.Statuses, f.Status) {
		return f, badRequest(fmt.Errorf("status is %.80q, must be one of %v", f.Status, refcache.Statuses))
	}
	if f.Namespace != "" {
		if err := refcache.CheckName(f.Namespace); err != nil {
			return f, badRequest(fmt.Errorf("namespace: %w", err))
		}
	}
	if f.Func != "" {
		if err := refcache.CheckName(f.Func); err != nil {
			return f, badRequest(fmt.Errorf("func: %w", err))
		}
	}
	if f.Queue != "" {
		if err := refcache.CheckQueue(f.Queue); err != nil {
			return f, badRequest(err)
		}
	}
	switch stale := values.Get("stale"); stale {
	case "", "false":
	case "true":
		f.Stale = true
	default:
		return f, badRequest(fmt.Errorf("stale is %.80q, must be true or false", stale))
	}
	if since := values.Get("since"); since != "" {
		var err error
		if f.Since, err = config.ParseDuration(since); err != nil {
			return f, badRequest(fmt.Errorf("since: %w", err))
		}
	}
	return f, nil
}
