package producer

import (
	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
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
	now := c.found(made)
	if !c.counted {
		p.countAnswer(c, now)
	}
	if made.Starts && !made.ResultFrom.AsOf.IsZero() {
		p.counters.Of(c.ref.Queue(), c.submission.Policy.Name).Count(counters.RefreshStarted)
	}
	return string(now.Cache)
}

// countAnswer counts how a call is answered.
func (p *Producer) countAnswer(c call, now answer.Snapshot) {
	function := p.counters.Of(c.ref.Queue(), c.submission.Policy.Name)
	function.Count(uses[now.Cache])
	if now.Cache == refcache.CacheHit && now.Status == refcache.Complete && !now.StartedAt.IsZero() && !now.CompletedAt.IsZero() {
		function.Saved(now.CompletedAt.Sub(now.StartedAt))
	}
}

// uses are the events of how calls are answered.
var uses = map[refcache.CacheUse]counters.Event{refcache.CacheHit: counters.CallHit, refcache.CacheStale: counters.CallStale,
	refcache.CacheJoined: counters.CallJoined, refcache.CacheMiss: counters.CallMiss}
