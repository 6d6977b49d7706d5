package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/errpattern"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

const (
	bulkAtOnce   = 16               // calls that are changed at the same time
	bulkPage     = 500              // calls that are looked at between two looks at the clock
	bulkTime     = 10 * time.Second // for which one request changes calls; the rest is for the next
	countingTime = 4 * time.Second  // for which they are counted
	lastChanges  = 15 * time.Second // what may be finished of a page, also for who has gone away
	groupsShown  = 10
)

// bulkData is what is asked before many calls are changed, and what is told after it.
type bulkData struct {
	Do     string // retry or cancel
	Filter filter
	Fields []pair // of the filter, for forms
	Back   string // the list that they are of

	// Before: how many there are.
	Calls, Left, Exhausted, Unreadable int
	Partial                            bool // there are more, not counted
	Groups                             []errpattern.Group
	OtherGroups                        int // calls of groups that are not shown

	// After: what became of them.
	Done   int
	Not    []because
	Fresh  bool
	Cursor admin.Cursor // where to go on; empty: that were all
	Broken string       // why it ended early; empty: it did not

	missing []monitor.Missing // nodes whose calls are not among them
}

// lacks notes what a page of the calls lacks. What is left of the error is why there is no page.
func (b *bulkData) lacks(err error) error {
	missing, err := partly(err)
	if len(missing) > 0 {
		b.missing = missing
	}
	return err
}

// because is for how many calls nothing was done, and why.
type because struct {
	Calls int
	Why   string
}

// askRetry answers GET /calls/retry: how many calls would be retried.
func (u *UI) askRetry(w http.ResponseWriter, r *http.Request) error {
	return u.ask(w, r, "retry", r.URL.Query())
}

// askCancel answers GET /calls/cancel.
func (u *UI) askCancel(w http.ResponseWriter, r *http.Request) error {
	return u.ask(w, r, "cancel", r.URL.Query())
}

func (u *UI) ask(w http.ResponseWriter, r *http.Request, do string, v url.Values) error {
	if err := u.checkOperator(r); err != nil {
		return err
	}
	data, err := newBulkData(do, v)
	if err != nil {
		return err
	}
	if err := u.countAll(r, &data); err != nil {
		return err
	}
	return u.render(w, r, http.StatusOK, "bulk.html", page{Missing: data.missing, Title: data.Title(), Data: data})
}

func newBulkData(do string, v url.Values) (bulkData, error) {
	f, err := parseFilter(v)
	if err != nil {
		return bulkData{}, err
	}
	switch {
	case do == "retry" && (f.Status == "" || f.Status == refcache.Failed):
		f = f.in(refcache.Failed)
	case do == "retry":
		return bulkData{}, &refusal{http.StatusBadRequest, "Nothing to retry", fmt.Errorf("only failed calls can be retried, not those that are %s", f.Status)}
	case !f.Status.InFlight():
		return bulkData{}, &refusal{http.StatusBadRequest, "Nothing to cancel", errors.New("only calls in flight can be cancelled: choose waiting, pending, processing or retrying")}
	}
	return bulkData{Do: do, Filter: f, Fields: f.pairs(), Back: f.path("")}, nil
}

// Title says what page it is.
func (b bulkData) Title() string { return strings.ToUpper(b.Do[:1]) + b.Do[1:] + " calls" }

// countAll counts the calls, as far as that takes no time that people notice.
func (u *UI) countAll(r *http.Request, b *bulkData) error {
	var groups errpattern.Groups
	enough := time.Now().Add(countingTime)
	for from := admin.Cursor(""); ; {
		found, err := u.search(r, b.Filter, from, bulkPage)
		if err := b.lacks(err); err != nil {
			return err
		}
		for _, info := range found.Tasks {
			b.add(info)
			groups.Add(info)
		}
		from = found.Next
		if b.Partial = from != "" && time.Now().After(enough); from == "" || b.Partial {
			break
		}
	}
	if b.Do == "retry" {
		b.Groups = groups.Sorted()
		b.OtherGroups = groups.Others
		for _, g := range b.Groups[min(groupsShown, len(b.Groups)):] {
			b.OtherGroups += g.Calls
		}
		b.Groups = b.Groups[:min(groupsShown, len(b.Groups))]
	}
	return nil
}

func (b *bulkData) add(info refcache.TaskInfo) {
	b.Calls++
	switch {
	case info.Unreadable != "":
		b.Unreadable++
	case info.CanRetry:
		b.Left++
	case info.Exhausted:
		b.Exhausted++
	}
}

// All is how many could be retried with a fresh budget.
func (b bulkData) All() int { return b.Left + b.Exhausted }

// retryAll answers POST /calls/retry.
func (u *UI) retryAll(w http.ResponseWriter, r *http.Request) error {
	fresh := r.PostFormValue("fresh") == "true"
	return u.doAll(w, r, "retry", func(r *http.Request, ref refcache.Ref) error { return u.retryOne(r, ref, fresh) })
}

// cancelAll answers POST /calls/cancel.
func (u *UI) cancelAll(w http.ResponseWriter, r *http.Request) error {
	return u.doAll(w, r, "cancel", u.cancelOne)
}

// doAll changes calls, the latest first, until there are no more or the time of one request is used up: then the page
// that tells what was done offers to go on. It goes on behind those that it has come to, so none is changed twice, not even
// one that fails again.
func (u *UI) doAll(w http.ResponseWriter, r *http.Request, do string, change func(*http.Request, refcache.Ref) error) error {
	if err := u.checkOperator(r); err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return unreadableForm(err)
	}
	data, err := newBulkData(do, r.PostForm)
	if err != nil {
		return err
	}
	data.Fresh, data.Cursor = r.PostForm.Get("fresh") == "true", admin.Cursor(r.PostForm.Get("cursor"))
	var outcomes outcomeCount
	for enough := time.Now().Add(bulkTime); ; {
		found, err := u.search(r, data.Filter, data.Cursor, bulkPage)
		if err = data.lacks(err); err == nil {
			err = u.changeEach(r, found.Tasks, &outcomes, change)
		}
		if err != nil {
			data.Broken = u.cfg.Redact.Text(err.Error())
			break // where it stands: what was done is told
		}
		if data.Cursor = found.Next; data.Cursor == "" || time.Now().After(enough) {
			break
		}
	}
	if data.Broken != "" && outcomes.done == 0 && len(outcomes.not) == 0 {
		return errors.New(data.Broken)
	}
	data.Done, data.Not = outcomes.done, outcomes.because()
	return u.render(w, r, http.StatusOK, "bulkdone.html", page{Title: data.Title(), Data: data})
}

// changeEach changes some calls at a time. The error is one that concerns more than a call, or the end of the request:
// then no more are begun. Those that were are waited for, else nobody would know what became of them.
func (u *UI) changeEach(r *http.Request, tasks []refcache.TaskInfo, outcomes *outcomeCount, change func(*http.Request, refcache.Ref) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), lastChanges)
	defer cancel()
	room := make(chan struct{}, bulkAtOnce)
	var all sync.WaitGroup
	for _, info := range tasks {
		room <- struct{}{}
		if r.Context().Err() != nil || outcomes.broken() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-room }()
			outcomes.add(change(r.WithContext(ctx), info.RefID))
		})
	}
	all.Wait()
	return cmp.Or(outcomes.broken(), context.Cause(r.Context()))
}

// outcomeCount counts what became of calls that were to be changed. It may be used concurrently.
type outcomeCount struct {
	mu   sync.Mutex
	done int
	not  map[string]int
	err  error // one that concerns more than its call
}

func (t *outcomeCount) broken() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// reasons are why nothing is done to a call, in words.
var reasons = []struct {
	err  error
	word string
}{
	{refcache.ErrRetriesExhausted, "had no retries left: only a fresh budget helps"},
	{refcache.ErrNotFailed, "had not failed any more"},
	{refcache.ErrNotCancellable, "had ended before"},
	{refcache.ErrTaskNotFound, "had gone"},
	{refcache.ErrUnreadable, "cannot be read"},
	{nil, "got no answer: they may have been changed or not"}, // the last: any other error
}

func (t *outcomeCount) add(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil || errors.Is(err, refcache.ErrNotQueued) {
		t.done++
		return
	}
	if t.not == nil {
		t.not = map[string]int{}
	}
	for _, reason := range reasons {
		if reason.err == nil {
			t.err = err
		}
		if reason.err == nil || errors.Is(err, reason.err) {
			t.not[reason.word]++
			return
		}
	}
}

func (t *outcomeCount) because() (all []because) {
	for _, reason := range reasons {
		if n := t.not[reason.word]; n > 0 {
			all = append(all, because{n, reason.word})
		}
	}
	return all
}
