package producer

import (
	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
)

// Counts returns what this Producer has counted since it was made: of each function how its calls were answered, and
// how many tasks it cancelled. The other counts are a worker's.
func (p *Producer) Counts() []monitor.Counts { return p.counters.Counts() }

// Waiters returns how many Calls and Waits of this Producer wait for the end of a task.
func (p *Producer) Waiters() int { return p.inbox.count() }

// RedisErrors returns how many errors of Redis, or on the way to it, this Producer has met, by what it did: the names
// of scripts such as submit and read, ring, look and note_queue.
func (p *Producer) RedisErrors() map[string]int64 { return p.store.ErrorCounts() }

// counted counts a call that was submitted, and tells how it was answered in a word; empty when that is not known.
func (p *Producer) counted(c call, made store.Submitted) string {
	if made.Ref == "" {
		return ""
	}
	event, result := counters.CallHit, "hit"
	switch {
	case made.Starts:
		event, result = counters.CallNew, "new"
	case made.Status.InFlight() && !c.served(made):
		event, result = counters.CallJoined, "joined"
	}
	p.counters.Of(c.ref.Queue(), c.submission.Policy.Name).Count(event)
	return result
}
