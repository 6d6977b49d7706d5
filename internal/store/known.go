package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/refq/refq/refcache"
)

// Known are the names of what a worker knows: its functions, and the versions of records that it reads. A doorbell is set aside
// under the name of what a worker lacks for it. Redis gets the names in the text of scripts, and never forgets a text, so they are
// for what does not change while a worker runs.
type Known struct {
	names   []string
	scripts sync.Map // assembled -> func() *redis.Script
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

	// Of what workers know and cannot run now: why, and when the first of them tries again.
	Why   string
	Again time.Duration
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
	case refcache.UnservedProgram:
		why, _, _ := strings.Cut(u.Why, "\n")
		return fmt.Sprintf("no living worker can run %s now: %s, tried again in %d s", u.Name, why, int(u.Again.Round(time.Second).Seconds()))
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
	mayRun := r.Status == refcache.Pending || r.Status == refcache.Retrying || r.Status == refcache.Waiting
	return mayRun && r.ReadAt.Sub(ready) > unservedAfter
}

const (
	maxAsked  = 20   // functions of a page of a list of which it is asked who knows them
	maxPauses = 1000 // gates and keys of a page of which it is asked whether they are paused
)

// tellHeldUp tells of the tasks of a page what holds them up. A list without that is better than none.
func (s *Store) tellHeldUp(ctx context.Context, queue string, page []Found) {
	var functions, fields []string
	add := func(to *[]string, most int, names ...string) {
		for _, name := range names {
			if len(*to) < most && !slices.Contains(*to, name) {
				*to = append(*to, name)
			}
		}
	}
	for _, task := range page {
		if task.hasWaited() {
			add(&functions, maxAsked, task.function())
		}
		add(&fields, maxPauses, task.pauseFields()...)
	}
	if len(functions)+len(fields) == 0 {
		return
	}
	args := []any{s.flag(queue), len(functions)}
	for _, word := range slices.Concat(functions, fields) {
		args = append(args, word)
	}
	values, err := s.onQueue(ctx, unservedScript(), queue, args...).Slice()
	if err != nil {
		return
	}
	told, _ := reply(values).at(0).([]any)
	notes, _ := reply(values).at(1).([]any)
	for i, task := range page {
		if at := slices.Index(functions, task.function()); at >= 0 && task.hasWaited() {
			page[i].HeldUp = heldUp(queue, task.function(), reply(told).at(at))
		}
		for _, field := range task.pauseFields() {
			if at := slices.Index(fields, field); at >= 0 && reply(notes).at(at) != nil {
				p, _ := pauseAt(queue, field)
				page[i].HeldUp = HeldUp{Paused: pauseNoted(p, notes[at])}
				break
			}
		}
	}
}

// pauseFields are where it is noted that the gate or the key is paused at which the task waits, the gate first; none if it does not wait
// for its turn.
func (r Record) pauseFields() []string {
	if r.Status != refcache.Waiting || r.Turn.Gate == "" {
		return nil
	}
	return []string{"g:" + r.Turn.Gate, "k:" + r.Turn.Gate + "/" + r.Turn.Key}
}

// heldUp reads what the scripts tell of what holds up a function of a queue, given as name@version.
func heldUp(queue, function string, answer any) (u HeldUp) {
	values, _ := answer.([]any)
	if len(values) == 0 {
		return u
	}
	told := reply(values)
	if told.text(0) == "paused" {
		p := refcache.Pause{Func: told.text(2)}
		if p.Func == "" {
			p.Queue = queue
		}
		return HeldUp{Paused: new(parsePause(p, told.text(3)))}
	}
	u = HeldUp{Lacks: refcache.Unserved(told.text(0)), Queue: queue, Name: function}
	if u.Lacks == refcache.UnservedProgram {
		ms, _ := strconv.ParseInt(told.text(1), 10, 64)
		u.Again, u.Why = time.Duration(ms)*time.Millisecond, told.text(2)
		return u
	}
	for i := 2; i < len(told); i++ {
		u.Known = append(u.Known, told.text(i))
	}
	if n, err := strconv.Atoi(told.text(1)); err == nil {
		u.More = n - len(u.Known)
	}
	return u
}
