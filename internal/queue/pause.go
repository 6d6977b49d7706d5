package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/refq/refq/internal/store"
)

// A queue is paused by asynq's own flag, so that asynq's tools and older workers agree. asynq's dequeue looks at it. A function is
// paused by a note of ours: workers hear of it, and then take it for one that they do not know.

// PausedKey is asynq's flag of a paused queue. It has no other use here than that asynq's Inspector makes of it: a time in Unix
// seconds, set if there is none, and removed.
func PausedKey(queue string) string { return keyPrefix(queue) + "paused" }

// Heard is what is paused in a queue, as it was asked for at some time.
type Heard struct {
	asked  int64
	fields []string
}

// asks numbers the questions what is paused: an answer to an earlier one says nothing new.
var asks atomic.Int64

// Ask begins a question what is paused. The answer is Heard by the function returned.
func Ask() func(fields []string) Heard {
	n := asks.Add(1)
	return func(fields []string) Heard { return Heard{n, fields} }
}

// pauses are what a worker has heard of paused functions in a queue. It may be used concurrently.
type pauses struct {
	mu    sync.Mutex
	asked int64 // when what was heard last was asked for

	telling sync.Mutex // held while Redis is told
	told    []string   // what Redis knows that the worker does not start
}

// pausedIn counts the queues in which a worker does not start a function, by its name: a function is paused in all queues, and one line
// of the log tells that.
type pausedIn struct {
	mu     sync.Mutex
	queues map[string]int
}

// change counts functions that a queue does not start any more, and such as it does again. It returns those that no queue had paused
// before, and those that none has now.
func (p *pausedIn) change(paused, resumed []string) (begun, ended []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queues == nil {
		p.queues = map[string]int{}
	}
	for _, name := range paused {
		if p.queues[name]++; p.queues[name] == 1 {
			begun = append(begun, name)
		}
	}
	for _, name := range resumed {
		if p.queues[name]--; p.queues[name] == 0 {
			ended = append(ended, name)
		}
	}
	return begun, ended
}

// hear takes in what was heard, unless something later is known. False: it is known.
func (f *fetcher) hearPauses(h Heard) bool {
	f.pauses.mu.Lock()
	defer f.pauses.mu.Unlock()
	if h.asked <= f.pauses.asked {
		return false
	}
	f.pauses.asked = h.asked
	now := f.known.Paused(h.fields)
	before := f.asides.pause(now)
	if begun, ended := f.pausedIn.change(without(now, before), without(before, now)); len(begun)+len(ended) > 0 {
		f.log.Info("pauses have changed", "paused", begun, "resumed", ended)
	}
	return true
}

// tellPauses has Redis know which functions the worker does not start, and which it does again, through s. For the latter it then
// looks at what is set aside.
func (f *fetcher) tellPauses(ctx context.Context, s *store.Store) error {
	f.pauses.telling.Lock()
	defer f.pauses.telling.Unlock()
	now := f.asides.notStarted()
	paused, resumed := without(now, f.pauses.told), without(f.pauses.told, now)
	if len(paused)+len(resumed) == 0 {
		return nil
	}
	if err := s.Unlearn(ctx, f.queue, f.worker, paused, resumed); err != nil {
		return err
	}
	f.pauses.told = now
	if len(resumed) == 0 {
		return nil
	}
	names, err := s.Aside(ctx, f.queue, f.known)
	if err != nil {
		f.countError("aside", err)
		return err // a heartbeat looks, too
	}
	for _, name := range names {
		f.asides.hear(name)
	}
	f.woken()
	return nil
}

// without are the names that are not among others.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

// lookAtPauses asks what is paused, after a message that it has changed. A pause of the whole queue may have ended, so a fetcher
// that waits looks.
func (f *fetcher) lookAtPauses(ctx context.Context) {
	heard := Ask()
	fields, err := f.store.PausedFields(ctx, f.queue)
	if err != nil {
		f.countError("paused", err)
		return // the next heartbeat tells
	}
	if f.hearPauses(heard(fields)) {
		_ = f.tellPauses(ctx, f.store) // or after the next heartbeat
	}
	f.woken()
}

// HearPauses has a queue's calls of paused functions not started from now on. [Listener.TellPauses] is to follow.
func (l *Listener) HearPauses(queue string, h Heard) {
	if line := l.lines[queue]; line != nil {
		line.fetcher.hearPauses(h)
	}
}

// Lack has calls of some functions of a queue not started from now on, by name@version, besides those that are paused; it takes the
// place of what was lacking before. [Listener.TellPauses] is to follow.
func (l *Listener) Lack(queue string, functions []string) {
	if line := l.lines[queue]; line != nil {
		line.fetcher.asides.lack(functions)
	}
}

// TellPauses has Redis know through s which functions of a queue the worker does not start, unless it knows.
func (l *Listener) TellPauses(ctx context.Context, s *store.Store, queue string) error {
	line := l.lines[queue]
	if line == nil {
		return nil
	}
	if err := line.fetcher.tellPauses(ctx, s); err != nil {
		return fmt.Errorf("tell what is paused for the worker: %w", err)
	}
	return nil
}
