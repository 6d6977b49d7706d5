package admin

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// Filter says which tasks are meant. The zero Filter means all of the Admin's namespace.
type Filter struct {
	// Namespace narrows what an Admin of all namespaces means; empty: the Admin's own. Any other is refused by an Admin of
	// one namespace.
	Namespace string

	Status refcache.Status // empty: any
	Func   string          // empty: any
	Queue  string          // empty: all queues
	Error  string          // a piece of the last error, letter by letter; empty: any error, and none
	Stale  bool            // only complete tasks whose last refresh failed or was cancelled
	Since  time.Duration   // how long ago, by Redis's clock and what List goes by, at most; 0: however long, and negative is refused
}

const pageSize = 100

// List walks through the tasks that pass the filter, latest first: by the end of ended ones, the due time of retrying
// ones, the start of processing ones, the creation of pending and waiting ones. It reads as it goes, so a task that changes
// meanwhile may be passed over or appear twice; a task that stays as it is appears once, whatever others do. Of the
// complete tasks of a queue those are listed that ended with its last 10,000 completions; the ones that have expired
// since, or were complete again, count. The infos have no history. The walk ends at the first error, but for a
// *monitor.PartialError: that comes by itself when nodes do not answer, each node once, and the walk goes on with the tasks
// of the others.
//
// A task whose record cannot be read ends nothing: its info says why in Unreadable. It passes Namespace, Func, Error and
// Since unless it is known that it should not.
func (a *Admin) List(ctx context.Context, f Filter) iter.Seq2[refcache.TaskInfo, error] {
	return func(yield func(refcache.TaskInfo, error) bool) {
		for found, err := range a.walk(ctx, f) {
			var info refcache.TaskInfo
			if err == nil {
				info = listed(found)
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

func listed(found store.Found) refcache.TaskInfo {
	if found.Err == nil {
		return found.Info()
	}
	return refcache.TaskInfo{RefID: found.Ref, Queue: found.Ref.Queue(), Status: found.Status, Func: found.Policy.Name,
		LastError: found.LastError, Unreadable: found.Err.Error()}
}

// walk is List for those who need the records. The Status of an unreadable one is that of the index that has it.
func (a *Admin) walk(ctx context.Context, f Filter) iter.Seq2[store.Found, error] {
	return func(yield func(store.Found, error) bool) {
		f, err := a.meant(f)
		var l *list
		if err == nil {
			l, err = a.list(ctx, f, position{})
		}
		for err == nil {
			var next *source
			if next, err = l.latest(ctx); err != nil {
				break
			}
			if news := l.news(); news != nil && !yield(store.Found{}, news) {
				return
			}
			if next == nil {
				return
			}
			if task := next.pop(); f.passes(task) && !yield(task, nil) {
				return
			}
		}
		if err != nil {
			yield(store.Found{}, err)
		}
	}
}

// meant is the filter with what it leaves to the Admin, or to another of its fields.
func (a *Admin) meant(f Filter) (Filter, error) {
	if err := a.checkMade(); err != nil {
		return f, err
	}
	own := a.change.Namespace
	f.Namespace = cmp.Or(f.Namespace, own)
	if f.Namespace != own && own != refcache.AllNamespaces {
		return f, fmt.Errorf("list tasks: namespace %.130q: this one looks in %s only", f.Namespace, own)
	}
	if f.Namespace != refcache.AllNamespaces {
		if err := refcache.CheckName(f.Namespace); err != nil {
			return f, fmt.Errorf("list tasks: namespace: %w", err)
		}
	}
	if f.Stale && f.Status == "" {
		f.Status = refcache.Complete
	}
	return f, nil
}

// passes tells of namespace, staleness, function and error; the rest is the sources' business. What is unknown may be what
// is looked for.
func (f Filter) passes(task store.Found) bool {
	unknown := func(text string) bool { return task.Err != nil && text == "" }
	return (f.Namespace == refcache.AllNamespaces || f.Namespace == task.Namespace || unknown(task.Namespace)) &&
		(!f.Stale || task.Stale()) && (f.Func == "" || f.Func == task.Policy.Name || unknown(task.Policy.Name)) &&
		(strings.Contains(task.LastError, f.Error) || unknown(task.LastError))
}

// list merges the tasks of several queues and statuses. What a node does not tell is left out of the rest of it.
type list struct {
	store   *store.Store
	sources []*source // in the order in which they share an instant
	missing []monitor.Missing
	told    int  // how many of these it has said
	some    bool // something was found, be it that there is nothing
}

// source yields the tasks of a queue in a status, latest first.
type source struct {
	store  *store.Store
	queue  string
	status refcache.Status
	since  time.Time

	after position // where it starts
	read  []store.Found
	from  store.Position
	end   bool
}

// list is all that the filter asks for, from a position on.
func (a *Admin) list(ctx context.Context, f Filter, after position) (*list, error) {
	statuses := refcache.Statuses
	if f.Status != "" {
		if !slices.Contains(statuses, f.Status) {
			return nil, fmt.Errorf("list tasks: status %q: use one of %v", f.Status, statuses)
		}
		statuses = []refcache.Status{f.Status}
	}
	queues, missing, err := a.queuesOf(ctx, f)
	if err != nil {
		return nil, err
	}
	slices.Sort(queues)
	since, err := a.since(ctx, f)
	if err != nil {
		return nil, err
	}
	l := &list{store: a.store.Skipping(missing), missing: missing, some: len(queues) == 0 && len(missing) == 0}
	for _, queue := range queues {
		for _, status := range statuses {
			s := &source{store: a.store, queue: queue, status: status, since: since, after: after}
			s.from = after.positionIn(queue, status)
			l.sources = append(l.sources, s)
		}
	}
	return l, nil
}

func (a *Admin) queuesOf(ctx context.Context, f Filter) ([]string, []monitor.Missing, error) {
	if f.Queue == "" {
		return a.store.QueueNames(ctx)
	}
	return []string{f.Queue}, nil, refcache.CheckQueue(f.Queue)
}

// since is the earliest time that passes; zero: any does.
func (a *Admin) since(ctx context.Context, f Filter) (time.Time, error) {
	switch {
	case f.Since < 0:
		return time.Time{}, fmt.Errorf("list tasks: since %v ago: must not be negative", f.Since)
	case f.Since == 0:
		return time.Time{}, nil
	}
	now, err := a.store.Now(ctx)
	return now.Add(-f.Since), err
}

// latest returns the source whose next task is the latest of all; nil when there is none.
func (l *list) latest(ctx context.Context) (*source, error) {
	if err := l.fill(ctx); err != nil {
		return nil, err
	}
	var best *source
	for _, s := range l.sources {
		if len(s.read) > 0 && (best == nil || s.read[0].At.After(best.read[0].At)) {
			best = s
		}
	}
	return best, nil
}

// fill makes sure that each source has its next task, if any is left. Those of which a node does not tell it are dropped.
func (l *list) fill(ctx context.Context) error {
	empty := map[string][]*source{}
	for _, s := range l.sources {
		if len(s.read) == 0 && !s.end {
			empty[s.queue] = append(empty[s.queue], s)
		}
	}
	if len(empty) == 0 {
		return nil
	}
	found, silent, err := store.ByNode(ctx, l.store, slices.Sorted(maps.Keys(empty)), func(ctx context.Context, queue string) ([]source, error) {
		filled := make([]source, len(empty[queue]))
		for i, s := range empty[queue] {
			filled[i] = *s
			if err := filled[i].fill(ctx); err != nil {
				return nil, err
			}
		}
		return filled, nil
	})
	if err != nil {
		return err
	}
	for queue, filled := range found {
		for i, s := range filled {
			*empty[queue][i] = s
		}
	}
	l.some = l.some || len(found) > 0
	l.drop(ctx, silent)
	return nil
}

// drop leaves out all that is where nothing was answered, so that nobody waits for that again.
func (l *list) drop(ctx context.Context, silent []monitor.Missing) {
	for _, m := range silent {
		l.sources = slices.DeleteFunc(l.sources, func(s *source) bool {
			there := slices.Contains(m.Queues, s.queue) || l.store.NodeOf(ctx, s.queue) == m.Node
			if there && !slices.Contains(m.Queues, s.queue) {
				m.Queues = append(m.Queues, s.queue)
			}
			return there
		})
		l.missing = append(l.missing, m)
	}
}

// news is an error about what has come to be missing since it was asked last.
func (l *list) news() error {
	fresh := l.missing[l.told:]
	l.told = len(l.missing)
	return store.Partial(fresh, l.some)
}

func (s *source) pop() store.Found {
	task := s.read[0]
	task.Status = s.status // an unreadable one may not tell it
	s.read = s.read[1:]
	return task
}

// fill makes sure that there is a next task, if any is left.
func (s *source) fill(ctx context.Context) error {
	for len(s.read) == 0 && !s.end {
		entries, err := s.page(ctx)
		if err != nil {
			return err
		}
		if s.read, err = s.store.ReadAll(ctx, entries); err != nil {
			return err
		}
		s.read = slices.DeleteFunc(s.read, func(t store.Found) bool { return !s.owns(t) })
		if s.status == refcache.Processing { // what runs has no order yet
			slices.SortFunc(s.read, func(a, b store.Found) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Ref, a.Ref)) })
		}
	}
	return nil
}

func (s *source) page(ctx context.Context) (entries []store.Entry, err error) {
	if s.status == refcache.Processing {
		s.end = true
		return s.store.Running(ctx, s.queue)
	}
	entries, s.from, err = s.store.Page(ctx, s.queue, s.status, s.from, pageSize)
	s.end = len(entries) < pageSize || entries[len(entries)-1].At.Before(s.since)
	return entries, err
}

// owns tells whether a task that was found belongs to this source: it may have moved on since, or be too old. What an
// unreadable one does not tell counts for it.
func (s *source) owns(t store.Found) bool {
	if t.Err != nil && t.Status == "" {
		t.Status = s.status
	}
	if t.Err != nil && t.At.IsZero() {
		t.At = s.since
	}
	return t.Status == s.status && !t.At.Before(s.since) && (s.status != refcache.Processing || s.after.precedes(t, s.status))
}
