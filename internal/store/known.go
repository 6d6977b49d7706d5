package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/refq/refq/refcache"
)

// Known are the names of what a worker knows: its functions, and the versions of records that it reads. A doorbell is set aside
// under the name of what a worker lacks for it. Redis gets the names in the text of scripts, and never forgets a text, so they are
// for what does not change while a worker runs.
type Known struct {
	names   []string
	scripts sync.Map // assembled -> *redis.Script
}

// NewKnown is for a worker of these functions, each as name@version.
func NewKnown(functions []string) *Known {
	return &Known{names: append(versions(), functions...)}
}

// versions are the names of the versions of records that this code reads, behind the first.
func versions() (names []string) {
	for v := 2; v <= RecordVersion; v++ {
		names = append(names, fmt.Sprintf("v%d", v))
	}
	return names
}

// Has reports whether a name is among them.
func (k *Known) Has(name string) bool { return slices.Contains(k.names, name) }

// AsideKey is the set of names under which doorbells are set aside in a queue. The list of those of a name has the same key, with
// a colon and the name behind it.
func AsideKey(queue string) string { return prefix(queue) + "aside" }

// Aside returns those of the known names under which doorbells are set aside in a queue.
func (s *Store) Aside(ctx context.Context, queue string, known *Known) ([]string, error) {
	members := make([]any, len(known.names))
	for i, name := range known.names {
		members[i] = name
	}
	are, err := s.rdb.SMIsMember(ctx, AsideKey(queue), members...).Result()
	if err != nil {
		return nil, fmt.Errorf("ask what is set aside in queue %s: %w", queue, foreign(err, queue))
	}
	var found []string
	for i, is := range are {
		if is {
			found = append(found, known.names[i])
		}
	}
	return found, nil
}

// WakeFor wakes an idle worker of a queue that knows a name, for a doorbell that is set aside under it, if there is one.
func (s *Store) WakeFor(ctx context.Context, queue, name string) error {
	if err := s.onQueue(ctx, wakeForScript(), queue, name).Err(); err != nil {
		return fmt.Errorf("wake a worker of queue %s for %s: %w", queue, name, foreign(err, queue))
	}
	return nil
}

// HeldUp says why a task that has waited for more than a second is not run. The zero value: that is not known.
type HeldUp struct {
	Paused *refcache.Pause   // what is paused; nil: nothing
	Lacks  refcache.Unserved // what no living worker serves; empty: somebody does
	Queue  string
	Name   string   // of the function, as name@version
	Known  []string // of the functions that workers of the queue know, the first few by name
	More   int      // how many more these are
}

// String is a sentence for people, without its end; empty if there is nothing to say.
func (u HeldUp) String() string {
	switch u.Lacks {
	case "":
		if u.Paused != nil {
			return u.Paused.String()
		}
	case refcache.UnservedQueue:
		return "no living worker serves queue " + u.Queue
	case refcache.UnservedFunction:
		text := fmt.Sprintf("no living worker knows %s; workers of queue %s know %s", u.Name, u.Queue, strings.Join(u.Known, ", "))
		if u.More > 0 {
			text += fmt.Sprintf(" and %d more", u.More)
		}
		return text
	}
	return ""
}

// function is the function of the task, as workers know it.
func (r Record) function() string { return fmt.Sprintf("%s@%d", r.Policy.Name, r.Policy.Version) }

// hasWaited reports whether the task could be run for so long that it is asked what holds it up. The script read judges alike.
func (r Record) hasWaited() bool {
	ready := r.UpdatedAt
	switch {
	case r.Status == refcache.Retrying:
		ready = r.NextRetryAt
	case ready.IsZero():
		ready = r.CreatedAt
	}
	return (r.Status == refcache.Pending || r.Status == refcache.Retrying) && r.ReadAt.Sub(ready) > unservedAfter
}

// maxAsked is how many functions of a page of a list it is asked who knows them.
const maxAsked = 20

// tellHeldUp tells of the tasks of a page what holds them up. A list without that is better than none.
func (s *Store) tellHeldUp(ctx context.Context, queue string, page []Found) {
	names := []any{s.flag(queue)}
	for _, task := range page {
		if name := any(task.function()); task.hasWaited() && !slices.Contains(names[1:], name) && len(names) <= maxAsked {
			names = append(names, name)
		}
	}
	if len(names) == 1 {
		return
	}
	told, err := s.onQueue(ctx, unservedScript(), queue, names...).Slice()
	if err != nil {
		return
	}
	for i, task := range page {
		if at := slices.Index(names[1:], any(task.function())); at >= 0 && task.hasWaited() {
			page[i].HeldUp = task.heldUp(reply(told).at(at))
		}
	}
}

// heldUp reads what the script read tells of that.
func (r Record) heldUp(answer any) (u HeldUp) {
	values, _ := answer.([]any)
	if len(values) == 0 {
		return u
	}
	told := reply(values)
	if told.text(0) == "paused" {
		p := refcache.Pause{Func: told.text(2)}
		if p.Func == "" {
			p.Queue = r.Ref.Queue()
		}
		return HeldUp{Paused: new(parsePause(p, told.text(3)))}
	}
	u = HeldUp{Lacks: refcache.Unserved(told.text(0)), Queue: r.Ref.Queue(), Name: r.function()}
	for i := 2; i < len(told); i++ {
		u.Known = append(u.Known, told.text(i))
	}
	if n, err := strconv.Atoi(told.text(1)); err == nil {
		u.More = n - len(u.Known)
	}
	return u
}
