package producer

import (
	"context"

	"github.com/refq/refq/monitor"

	"github.com/refq/refq/internal/counters"
)

// statsMinutes is what [Producer.Stats] shows: an hour.
const statsMinutes = 60

// Stats returns what happened in the last hour in the queues named, of all namespaces; in all queues that were ever used
// when none is named. It is approximate, see [monitor.Stats], and some seconds behind.
func (p *Producer) Stats(ctx context.Context, queues ...string) (monitor.Stats, error) {
	queues, err := p.named(ctx, queues)
	if err != nil {
		return monitor.Stats{}, err
	}
	return p.store.Minutes(ctx, queues, statsMinutes)
}

// Counts returns what this Producer has counted since it was made: of each function how its calls were answered, and how
// many tasks it cancelled. The other counts are a worker's.
func (p *Producer) Counts() []monitor.Counts { return p.tally.Counts() }

// Waiters returns how many Calls and Waits of this Producer wait for the end of a task.
func (p *Producer) Waiters() int { return p.inbox.count() }

// RedisErrors returns how many errors of Redis, or on the way to it, this Producer has met, by what it did: the names of
// scripts such as submit and read, ring, look and note_queue.
func (p *Producer) RedisErrors() map[string]int64 { return p.store.Faults() }

// counted counts a call that was submitted, and tells how it was answered in a word; empty when that is not known.
func (p *Producer) counted(c call, made submitted) string {
	if made.Ref == "" {
		return ""
	}
	event, result := counters.CallHit, "hit"
	switch {
	case made.Starts:
		event, result = counters.CallNew, "new"
	case made.Status.InFlight() && (made.Result == nil || c.submission.Refresh):
		event, result = counters.CallJoined, "joined"
	}
	p.tally.Of(c.ref.Queue(), c.submission.Policy.Name).Count(event)
	return result
}
