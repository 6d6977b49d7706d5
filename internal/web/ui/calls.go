package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/errpattern"
	"github.com/refq/refq/internal/redact"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

const (
	listPage  = 50
	groupPage = 2000 // what one page may look at, and so all of it
)

// callsData is what the list of calls shows.
type callsData struct {
	Filter    filter
	Tabs      []tab
	Views     []tab // of the same calls: each, or those alike together
	Functions []string
	Queues    []string
	Sinces    []option
	Rows      []callRow
	Grouped   bool
	Groups    []groupRow
	Others    int // calls of more groups than can be told apart
	Searched  searched
	Retry     string // where all of them can be retried, or cancelled; empty: they cannot
	Cancel    string

	missing []monitor.Missing
}

// tab leads to another view of a list.
type tab struct {
	Path, Text string
	Here       bool
}

// callRow is a call in a list.
type callRow struct {
	refcache.TaskInfo
	At     time.Time
	Detail string
	Bad    bool // Detail is an error
}

// groupRow is calls with like errors in a list.
type groupRow struct {
	errpattern.Group
	Path  string // the calls themselves
	Retry string
}

// calls answers GET /calls.
func (u *UI) calls(w http.ResponseWriter, r *http.Request) error {
	v, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &refusal{http.StatusBadRequest, "No such list", err}
	}
	f, err := parseFilter(v)
	if err != nil {
		return err
	}
	data := u.newCallsData(f)
	if data.Grouped = v.Has("group") && f.Status == refcache.Failed; data.Grouped {
		err = u.group(r, v, f, &data)
	} else {
		err = u.list(r, v, f, &data)
	}
	if err != nil {
		return err
	}
	p := page{Missing: data.missing, Title: "Calls", Notice: said(r, refcache.TaskInfo{}), Data: data}
	if data.Searched.First == "" && !f.Narrow() && !data.Grouped { // else it is too much work to do at every change
		p.Live = liveQueues
	}
	return u.render(w, r, http.StatusOK, "calls.html", p)
}

func (u *UI) newCallsData(f filter) callsData {
	data := callsData{Filter: f, Sinces: f.sinces(), Tabs: []tab{{f.in("").path(""), "all", f.Status == ""}}}
	for _, status := range refcache.Statuses {
		data.Tabs = append(data.Tabs, tab{f.in(status).path(""), string(status), f.Status == status})
	}
	for _, fn := range u.cfg.Functions {
		data.Functions = append(data.Functions, fn.Func.Name)
		if policy, err := fn.Func.Policy(); err == nil {
			data.Queues = append(data.Queues, policy.Queue)
		}
	}
	slices.Sort(data.Functions)
	slices.Sort(data.Queues)
	data.Functions, data.Queues = slices.Compact(data.Functions), slices.Compact(data.Queues)
	return data
}

// list fills in the calls themselves.
func (u *UI) list(r *http.Request, v url.Values, f filter, data *callsData) error {
	found, err := u.search(r, f, admin.Cursor(v.Get("cursor")), listPage)
	if data.missing, err = partly(err); err != nil {
		return err
	}
	for _, info := range found.Tasks {
		data.Rows = append(data.Rows, newCallRow(info))
	}
	switch {
	case f.Status == refcache.Failed:
		data.Views = []tab{{f.path(""), "Each call", true}, {f.path("", "group", "error"), "Grouped by error", false}}
		data.Retry = f.path("/retry")
	case f.Status.InFlight():
		data.Cancel = f.path("/cancel")
	}
	data.Searched, err = follow(v, f, found)
	return err
}

func newCallRow(i refcache.TaskInfo) callRow {
	row := callRow{TaskInfo: i, At: listedAt(i)}
	if i.Unreadable != "" {
		row.Detail, row.Bad = i.Unreadable, true
		return row
	}
	switch i.Status {
	case refcache.Processing:
		row.Detail = fmt.Sprintf("attempt %d", i.Attempt)
		if p := i.Progress; p != nil && p.Total > 0 {
			row.Detail += fmt.Sprintf(", %s of %s", count(p.Current), count(p.Total))
		}
		if i.Progress != nil && i.Progress.Message != "" {
			row.Detail += ", " + i.Progress.Message
		}
	case refcache.Retrying:
		row.Detail, row.Bad = fmt.Sprintf("retry %d of %d: %s", i.RetryCount, i.MaxRetries, errpattern.Line(i.LastError)), true
	case refcache.Failed:
		row.Detail, row.Bad = fmt.Sprintf("%s: %s", plural(i.Attempt, "attempt", "attempts"), errpattern.Line(i.LastError)), true
	case refcache.Complete:
		if i.IsStale {
			row.Detail, row.Bad = "old result, the refresh failed: "+errpattern.Line(i.Error), true
			break
		}
		if i.StartedAt != nil && i.CompletedAt != nil {
			row.Detail = "took " + duration(i.CompletedAt.Sub(*i.StartedAt))
		}
		if i.Attempt > 1 {
			row.Detail += fmt.Sprintf(", attempt %d", i.Attempt)
		}
	default:
		row.Detail = i.Note
	}
	return row
}

// group fills in how often which error is there.
func (u *UI) group(r *http.Request, v url.Values, f filter, data *callsData) error {
	found, err := u.search(r, f, admin.Cursor(v.Get("cursor")), groupPage)
	if data.missing, err = partly(err); err != nil {
		return err
	}
	var groups errpattern.Groups
	for _, info := range found.Tasks {
		groups.Add(info)
	}
	for _, g := range groups.Sorted() {
		row := groupRow{Group: g}
		if g.Error != errpattern.Unreadable {
			of := f
			of.Func = g.Func
			if piece := errpattern.Piece(g.Error, redact.Mask); piece != "" {
				of.Error = piece
			}
			row.Path, row.Retry = of.path(""), of.path("/retry")
		}
		data.Groups = append(data.Groups, row)
	}
	data.Others = groups.Others
	data.Views = []tab{{f.path(""), "Each call", false}, {f.path("", "group", "error"), "Grouped by error", true}}
	data.Retry = f.path("/retry")
	data.Searched, err = follow(v, f, found, "group", "error")
	return err
}

// Ref is the ref_id, short.
func (r callRow) Ref() string { return r.Queue + ":" + r.RefID.Hash()[:8] }
