package ui

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/refcache"
)

// filter says which calls a list shows, as its address does.
type filter struct {
	admin.Filter
	Since string // as it was written; empty: however long ago
}

// parseFilter reads a filter from the parameters of an address, or of a form.
func parseFilter(v url.Values) (filter, error) {
	f := filter{admin.Filter{Namespace: v.Get("namespace"), Status: refcache.Status(v.Get("status")), Func: v.Get("func"), Queue: v.Get("queue"), Error: v.Get("error")}, v.Get("since")}
	wrong := func(cause error) (filter, error) {
		return f, &refusal{http.StatusBadRequest, "No such list", cause}
	}
	if f.Status != "" && !slices.Contains(refcache.Statuses, f.Status) {
		return wrong(fmt.Errorf("status is %.80q, must be one of %v", f.Status, refcache.Statuses))
	}
	if f.Namespace != "" {
		if err := refcache.CheckName(f.Namespace); err != nil {
			return wrong(fmt.Errorf("namespace: %w", err))
		}
	}
	if f.Func != "" {
		if err := refcache.CheckName(f.Func); err != nil {
			return wrong(fmt.Errorf("function: %w", err))
		}
	}
	if f.Queue != "" {
		if err := refcache.CheckQueue(f.Queue); err != nil {
			return wrong(err)
		}
	}
	if f.Since != "" {
		var err error
		if f.Filter.Since, err = config.ParseDuration(f.Since); err != nil {
			return wrong(fmt.Errorf("how long ago: %w", err))
		}
	}
	return f, nil
}

// pairs are the parameters that make the filter, of those that say anything.
func (f filter) pairs() []pair {
	var all []pair
	for _, p := range []pair{{"namespace", f.Namespace}, {"status", string(f.Status)}, {"func", f.Func}, {"queue", f.Queue}, {"error", f.Error}, {"since", f.Since}} {
		if p.Value != "" {
			all = append(all, p)
		}
	}
	return all
}

// pair is a parameter of an address, or a hidden field of a form.
type pair struct{ Name, Value string }

// path is an address below /calls under the filter, with further parameters: names and values in turn.
func (f filter) path(below string, more ...string) string {
	v := url.Values{}
	for _, p := range f.pairs() {
		v.Set(p.Name, p.Value)
	}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	if len(v) == 0 {
		return "/calls" + below
	}
	return "/calls" + below + "?" + v.Encode()
}

// in is the filter with another status.
func (f filter) in(status refcache.Status) filter {
	f.Status = status
	return f
}

// Any reports whether the filter leaves anything out.
func (f filter) Any() bool { return len(f.pairs()) > 0 }

// Narrow reports whether records must be read to tell what passes.
func (f filter) Narrow() bool { return f.Namespace != "" || f.Func != "" || f.Error != "" }

// Words describes what the filter leaves: " of charge in queue media".
func (f filter) Words() string {
	var text strings.Builder
	if f.Func != "" {
		text.WriteString(" of " + f.Func)
	}
	if f.Namespace != "" {
		text.WriteString(" of namespace " + f.Namespace)
	}
	if f.Queue != "" {
		text.WriteString(" in queue " + f.Queue)
	}
	if f.Error != "" {
		fmt.Fprintf(&text, " with “%s” in the error", f.Error)
	}
	if f.Filter.Since > 0 {
		text.WriteString(" of the last " + duration(f.Filter.Since))
	}
	return text.String()
}

// option is something to choose from.
type option struct {
	Value, Text string
	Chosen      bool
}

// sinces are the times to choose from, and the one that was written into the address.
func (f filter) sinces() []option {
	all := []option{{"", "any time", false}, {"15m", "15 minutes", false}, {"1h", "1 hour", false}, {"6h", "6 hours", false}, {"24h", "1 day", false}, {"168h", "7 days", false}}
	known := false
	for i := range all {
		all[i].Chosen = all[i].Value == f.Since
		known = known || all[i].Chosen
	}
	if !known {
		all = append(all, option{f.Since, duration(f.Filter.Since), true})
	}
	return all
}

// search reads a page of what passes the filter, without what nobody should read: whoever guesses at what is hidden does
// not find it either. A *monitor.PartialError comes with a page.
func (u *UI) search(r *http.Request, f filter, from admin.Cursor, n int) (admin.Page, error) {
	found, err := u.admin.Page(r.Context(), f.Filter, from, n)
	if _, failed := partly(err); failed != nil {
		return found, failed
	}
	shown := found.Tasks[:0]
	for _, info := range found.Tasks {
		info = u.cfg.Redact.TaskInfo(info)
		if info.Unreadable != "" || strings.Contains(info.LastError, f.Error) {
			shown = append(shown, info)
		}
	}
	found.Tasks = shown
	return found, err
}

// searched is how far one who reads page after page has come.
type searched struct {
	Before, Now, Total int // calls looked at on pages before, on this one, and of how many
	Next               string
	First              string // the first page; empty: this is it
}

// All is how many calls were looked at so far.
func (s searched) All() int { return s.Before + s.Now }

func searchedBefore(v url.Values) (int, error) {
	if !v.Has("searched") {
		return 0, nil
	}
	n, err := strconv.Atoi(v.Get("searched"))
	if err != nil || n < 0 {
		return 0, &refusal{http.StatusBadRequest, "No such list", errors.New("searched is no number of calls")}
	}
	return n, nil
}

// follow tells where a page of a list stands, and where the next one is.
func follow(v url.Values, f filter, page admin.Page, more ...string) (searched, error) {
	before, err := searchedBefore(v)
	s := searched{Before: before, Now: page.Searched, Total: max(page.Total, before+page.Searched)}
	if v.Get("cursor") != "" {
		s.First = f.path("", more...)
	}
	if page.Next != "" {
		s.Next = f.path("", append(slices.Clone(more), "cursor", string(page.Next), "searched", strconv.Itoa(s.All()))...)
	}
	return s, err
}

// listedAt is the time by which a call is listed.
func listedAt(i refcache.TaskInfo) time.Time {
	switch {
	case i.Status == refcache.Processing:
		return timeOf(i.StartedAt)
	case i.Status == refcache.Retrying:
		return timeOf(i.NextRetryAt)
	case i.Status.IsFinal():
		return timeOf(i.CompletedAt)
	}
	return i.CreatedAt
}
