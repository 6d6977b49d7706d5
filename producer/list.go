package producer

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Filter says which tasks to list. The zero Filter lists all.
type Filter struct {
	Status refcache.Status // empty: any
	Func   string          // empty: any
	Queue  string          // empty: all queues
}

const pageSize = 100

// List walks through the tasks that pass the filter, latest first: by the end of ended ones, the due time of retrying
// ones, the start of processing ones, the creation of pending ones. It reads as it goes, so a task that changes
// meanwhile may be passed over or appear twice. Of the complete tasks of a queue the last 10,000 are listed. The infos
// have no history. The walk ends at the first error.
func (p *Producer) List(ctx context.Context, f Filter) iter.Seq2[refcache.TaskInfo, error] {
	return func(yield func(refcache.TaskInfo, error) bool) {
		sources, err := p.sources(ctx, f)
		for err == nil {
			var next *source
			if next, err = latest(ctx, sources); next == nil || err != nil {
				break
			}
			task := next.take()
			if f.Func != "" && f.Func != task.Policy.Name {
				continue
			}
			if !yield(task.Info(), nil) {
				return
			}
		}
		if err != nil {
			yield(refcache.TaskInfo{}, err)
		}
	}
}

// source yields the tasks of a queue in a status, latest first.
type source struct {
	store  *store.Store
	queue  string
	status refcache.Status

	read []store.Record
	from store.Position
	end  bool
}

func (p *Producer) sources(ctx context.Context, f Filter) ([]*source, error) {
	queues := []string{f.Queue}
	if f.Queue == "" {
		var err error
		if queues, err = p.store.Queues(ctx); err != nil {
			return nil, err
		}
	} else if err := refcache.CheckQueue(f.Queue); err != nil {
		return nil, err
	}
	statuses := refcache.Statuses
	if f.Status != "" {
		if !slices.Contains(statuses, f.Status) {
			return nil, fmt.Errorf("list tasks: status %q: use one of %v", f.Status, statuses)
		}
		statuses = []refcache.Status{f.Status}
	}
	var sources []*source
	for _, queue := range queues {
		for _, status := range statuses {
			sources = append(sources, &source{store: p.store, queue: queue, status: status})
		}
	}
	return sources, nil
}

// latest returns the source whose next task is the latest of all; nil when there is none.
func latest(ctx context.Context, sources []*source) (*source, error) {
	var best *source
	for _, s := range sources {
		if err := s.fill(ctx); err != nil {
			return nil, err
		}
		if len(s.read) > 0 && (best == nil || at(s.read[0]).After(at(best.read[0]))) {
			best = s
		}
	}
	return best, nil
}

func (s *source) take() store.Record {
	task := s.read[0]
	s.read = s.read[1:]
	return task
}

// fill makes sure that there is a next task, if any is left.
func (s *source) fill(ctx context.Context) error {
	for len(s.read) == 0 && !s.end {
		refs, err := s.page(ctx)
		if err != nil {
			return err
		}
		if s.read, err = s.store.ReadAll(ctx, refs); err != nil {
			return err
		}
		// What has moved on since belongs to another source.
		s.read = slices.DeleteFunc(s.read, func(r store.Record) bool { return r.Status != s.status })
		slices.SortStableFunc(s.read, func(a, b store.Record) int { return cmp.Compare(at(b).UnixMilli(), at(a).UnixMilli()) })
	}
	return nil
}

func (s *source) page(ctx context.Context) (refs []refcache.Ref, err error) {
	if s.status == refcache.Processing {
		s.end = true
		return s.store.Running(ctx, s.queue)
	}
	refs, s.from, err = s.store.Page(ctx, s.queue, s.status, s.from, pageSize)
	s.end = len(refs) < pageSize
	return refs, err
}

// at is what tasks are listed by.
func at(r store.Record) time.Time {
	switch r.Status {
	case refcache.Pending:
		return r.CreatedAt
	case refcache.Processing:
		return r.StartedAt
	case refcache.Retrying:
		return r.NextRetryAt
	}
	return r.CompletedAt
}
