package admin

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Cursor says where a page of a list starts: behind the last task of the page before. It is opaque text, safe in a URL,
// that any Admin understands. The empty Cursor is the start of the list.
type Cursor string

// ErrInvalidCursor: the text is no position in a list.
var ErrInvalidCursor = errors.New("invalid cursor: use the one that came with the page before")

// Page is a part of a list.
type Page struct {
	Tasks    []refcache.TaskInfo
	Searched int    // how many tasks were looked at, those that did not pass the filter among them
	Total    int    // how many tasks there are to look at in all, roughly: those in the filter's status, queue and time, of all pages and namespaces
	Next     Cursor // where the next page starts; empty: there is none
}

// maxSearched bounds what one page costs, however few tasks pass.
const maxSearched = 2000

// Page returns up to n tasks of what [Admin.List] would walk through, from a cursor on; n below 1 counts as 1. It
// looks at 2,000 tasks at most: a page may have fewer than n tasks, or none, and a Next all the same. A task that
// stays as it is appears on one page only, whatever others do between two pages. The error is ErrInvalidCursor
// when from is no Cursor. With a *monitor.PartialError the page has the tasks of the other queues; the page that Next leads to
// asks for all of them again, so those of the missing that belong before its start are passed over.
func (a *Admin) Page(ctx context.Context, f Filter, from Cursor, n int) (Page, error) {
	after, err := parseCursor(from)
	if err != nil {
		return Page{}, err
	}
	if f, err = a.meant(f); err != nil {
		return Page{}, err
	}
	l, err := a.list(ctx, f, after)
	if err != nil {
		return Page{}, err
	}
	var page Page
	if page.Total, err = l.count(ctx); err != nil {
		return Page{}, err
	}
	for {
		next, err := l.latest(ctx)
		if err != nil {
			return page, err
		}
		if next == nil {
			return page, l.news()
		}
		if len(page.Tasks) >= max(1, n) || page.Searched == maxSearched {
			page.Next = after.cursor()
			return page, l.news()
		}
		task := next.pop()
		after = position{task.At, task.Status, task.Ref}
		page.Searched++
		if f.passes(task) {
			page.Tasks = append(page.Tasks, listed(task))
		}
	}
}

// count is how many tasks there are to look at.
func (l *list) count(ctx context.Context) (total int, err error) {
	sources := map[string][]source{}
	for _, s := range l.sources {
		sources[s.queue] = append(sources[s.queue], *s)
	}
	found, silent, err := store.ByNode(ctx, l.store, slices.Sorted(maps.Keys(sources)), func(ctx context.Context, queue string) (sum int, err error) {
		for _, s := range sources[queue] {
			n, err := l.store.Listed(ctx, queue, s.status, s.since)
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	})
	for _, n := range found {
		total += n
	}
	l.drop(ctx, silent)
	return total, err
}

// position is where a task stands in a list: by its time, latest first; at the same time by queue and status, and in
// these by ref_id, highest first, complete ones by which ended last. The zero position is before all tasks.
type position struct {
	at     time.Time
	status refcache.Status
	ref    refcache.Ref
}

func (p position) cursor() Cursor {
	text := fmt.Sprintf("%d %s %s", p.at.UnixMilli(), p.status, p.ref)
	return Cursor(base64.RawURLEncoding.EncodeToString([]byte(text)))
}

func parseCursor(c Cursor) (position, error) {
	if c == "" {
		return position{}, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(string(c))
	words := strings.Split(string(text), " ")
	if err != nil || len(words) != 3 {
		return position{}, ErrInvalidCursor
	}
	at, err := strconv.ParseInt(words[0], 10, 64)
	ref, invalid := refcache.ParseRef(words[2])
	status := refcache.Status(words[1])
	if err != nil || invalid != nil || !slices.Contains(refcache.Statuses, status) {
		return position{}, ErrInvalidCursor
	}
	return position{time.UnixMilli(at), status, ref}, nil
}

// order compares this position's queue and status with others.
func (p position) order(queue string, status refcache.Status) int {
	return cmp.Or(cmp.Compare(p.ref.Queue(), queue),
		cmp.Compare(slices.Index(refcache.Statuses, p.status), slices.Index(refcache.Statuses, status)))
}

// positionIn is where a walk through a status of a queue meets what comes after p.
func (p position) positionIn(queue string, status refcache.Status) store.Position {
	switch order := p.order(queue, status); {
	case p.ref == "":
		return store.Position{}
	case order < 0: // those of the same instant are still to come
		return store.Below(p.at.Add(time.Millisecond), "")
	case order > 0:
		return store.Below(p.at, "")
	}
	return store.Below(p.at, p.ref)
}

// precedes reports whether a task comes after p.
func (p position) precedes(t store.Found, status refcache.Status) bool {
	if p.ref == "" {
		return true
	}
	return cmp.Or(t.At.Compare(p.at), p.order(t.Ref.Queue(), status), cmp.Compare(t.Ref, p.ref)) < 0
}
