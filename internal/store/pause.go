package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/refq/refq/refcache"
)

// PausesChanged is what a worker hears behind the name of a queue when something was paused there, or is no longer.
const PausesChanged = "paused"

// ofFunction is what the fields of paused functions begin with, in the hash of what is paused.
const ofFunction = "f:"

func pausedKey(queue string) string { return prefix(queue) + "paused" }

// FlagBy says by which key it is known that a queue is paused. The key is whose who keeps the doorbells. It is called once, before
// the Store is used. Without it no queue is paused.
func (s *Store) FlagBy(key func(queue string) string) { s.flagBy = key }

// flag is the key that says that a queue is paused; empty if there is none.
func (s *Store) flag(queue string) string {
	if s.flagBy == nil {
		return ""
	}
	return s.flagBy(queue)
}

// field is where a pause is noted, and flag the key that says the same to who keeps the doorbells; empty for a function.
func (s *Store) pauseField(queue string, p refcache.Pause) (field, flag string) {
	if p.Func != "" {
		return ofFunction + p.Func, ""
	}
	return "queue", s.flag(queue)
}

// Pause pauses a queue, or a function in it, for a time or, if that is 0, until somebody resumes it. By and Reason of p are noted. It
// returns the pause as it is noted. What was paused is paused anew.
func (s *Store) Pause(ctx context.Context, queue string, p refcache.Pause, limit time.Duration) (refcache.Pause, error) {
	field, flag := s.pauseField(queue, p)
	ms := ""
	if limit > 0 {
		ms = fmt.Sprint(max(1, limit.Milliseconds()))
	}
	note, err := s.onQueue(ctx, pauseScript(), queue, field, flag, p.By, ms, p.Reason).Text()
	if err != nil {
		return refcache.Pause{}, fmt.Errorf("pause %s in queue %s: %w", p.Target(), queue, foreign(err, queue))
	}
	return parsePause(refcache.Pause{Queue: p.Queue, Func: p.Func}, note), nil
}

// Resume ends the pause of a queue, or of a function in it. False: it was not paused.
func (s *Store) Resume(ctx context.Context, queue string, p refcache.Pause) (was bool, err error) {
	field, flag := s.pauseField(queue, p)
	n, err := s.onQueue(ctx, resumeScript(), queue, field, flag).Int()
	if err != nil {
		return false, fmt.Errorf("resume %s in queue %s: %w", p.Target(), queue, foreign(err, queue))
	}
	return n == 1, nil
}

// Pauses returns what is paused in a queue: the queue first, then functions by name.
func (s *Store) Pauses(ctx context.Context, queue string) ([]refcache.Pause, error) {
	values, err := s.onQueue(ctx, pausesScript(), queue, s.flag(queue)).Slice()
	if err != nil {
		return nil, fmt.Errorf("ask what is paused in queue %s: %w", queue, foreign(err, queue))
	}
	var found []refcache.Pause
	answer := reply(values)
	if answer.at(0) != nil {
		found = append(found, parsePause(refcache.Pause{Queue: queue}, answer.text(0)))
	}
	functions := len(found)
	for i := 1; i+1 < len(answer); i += 2 {
		if p, ok := pauseAt(queue, answer.text(i)); ok {
			found = append(found, parsePause(p, answer.text(i+1)))
		}
	}
	slices.SortFunc(found[functions:], func(a, b refcache.Pause) int { return strings.Compare(a.Target(), b.Target()) })
	return found, nil
}

// pauseAt is what is paused by a field of the hash. False: it is of a kind that is not known.
func pauseAt(queue, field string) (refcache.Pause, bool) {
	kind, name, _ := strings.Cut(field, ":")
	switch kind {
	case "f":
		return refcache.Pause{Func: name}, true
	case "g":
		return refcache.Pause{Queue: queue, Gate: name}, true
	case "k":
		gate, escaped, _ := strings.Cut(name, "/")
		key := plainWord(escaped)
		return refcache.Pause{Queue: queue, Gate: gate, Key: &key}, true
	}
	return refcache.Pause{}, false
}

// PauseGate pauses a gate of a queue, or a key of it, as [Store.Pause] does. False: the queue has no such gate. No call starts from
// then on.
func (s *Store) PauseGate(ctx context.Context, queue string, p refcache.Pause, limit time.Duration) (refcache.Pause, bool, error) {
	ms := ""
	if limit > 0 {
		ms = fmt.Sprint(max(1, limit.Milliseconds()))
	}
	note, found, err := s.pauseGate(ctx, queue, p, p.By, ms, p.Reason)
	return parsePause(refcache.Pause{Queue: queue, Gate: p.Gate, Key: p.Key}, note), found, err
}

// ResumeGate ends the pause of a gate of a queue, or of a key of it. It answers whether it was paused, and whether there is such a gate.
func (s *Store) ResumeGate(ctx context.Context, queue string, p refcache.Pause) (was, found bool, err error) {
	note, found, err := s.pauseGate(ctx, queue, p, "", "", "")
	return note != "", found, err
}

func (s *Store) pauseGate(ctx context.Context, queue string, p refcache.Pause, by, ms, reason string) (note string, found bool, err error) {
	key := ""
	if p.Key != nil {
		key = escapeTurn(*p.Key)
	}
	values, err := s.onQueue(ctx, pauseGateScript(), queue, p.Gate, p.Key != nil, key, by, ms, reason).Slice()
	if isNil(err) {
		return "", false, nil
	}
	if err != nil {
		p.Queue = queue
		return "", false, fmt.Errorf("pause or resume %s: %w", p.Target(), foreign(err, queue))
	}
	s.letIn(ctx, queue, reply(values).at(1))
	return reply(values).text(0), true, nil
}

// parsePause reads a note. What cannot be read is not known.
func parsePause(p refcache.Pause, note string) refcache.Pause {
	var n struct {
		At, Until  float64 // Unix ms, as Lua writes them
		By, Reason string
	}
	if json.Unmarshal([]byte(note), &n) != nil {
		return p
	}
	at := func(ms float64) *time.Time {
		if ms == 0 {
			return nil
		}
		return new(time.UnixMilli(int64(ms)))
	}
	p.At, p.Until, p.By, p.Reason = at(n.At), at(n.Until), n.By, n.Reason
	return p
}

// PausedFields reads what is paused in a queue as heartbeats tell it, for [Known.Paused].
func (s *Store) PausedFields(ctx context.Context, queue string) ([]string, error) {
	fields, err := s.rdb.HKeys(ctx, pausedKey(queue)).Result()
	if err != nil {
		return nil, fmt.Errorf("ask what is paused in queue %s: %w", queue, foreign(err, queue))
	}
	return fields, nil
}

// Paused returns those of the known functions that are paused by some fields.
func (k *Known) Paused(fields []string) (names []string) {
	for _, name := range k.names {
		all, _, isFunction := strings.Cut(name, "@")
		if isFunction && (slices.Contains(fields, ofFunction+all) || slices.Contains(fields, ofFunction+name)) {
			names = append(names, name)
		}
	}
	return names
}

// Unlearn notes that a worker knows some functions no more, and some others again, so that it is not woken for the former.
func (s *Store) Unlearn(ctx context.Context, queue, worker string, paused, resumed []string) error {
	pipe := s.rdb.Pipeline()
	for _, name := range paused {
		pipe.SRem(ctx, prefix(queue)+"knows:"+name, worker)
	}
	for _, name := range resumed {
		pipe.SAdd(ctx, prefix(queue)+"knows:"+name, worker)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("note what worker %s of queue %s knows: %w", worker, queue, foreign(err, queue))
	}
	return nil
}

// PausedNames are names of paused functions as scripts get them.
func PausedNames(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "," + strings.Join(names, ",") + ","
}
