package admin

import (
	"context"

	"github.com/refq/refq/monitor"
)

// statsMinutes is what [Admin.Stats] shows: an hour.
const statsMinutes = 60

// Stats returns what happened in the last hour in the queues named, of all namespaces; in all queues that were ever
// used when none is named. It is approximate, see [monitor.Stats], and some seconds behind. With a
// *monitor.PartialError it is that of the other queues.
func (a *Admin) Stats(ctx context.Context, queues ...string) (monitor.Stats, error) {
	if err := a.checkNamed(queues); err != nil {
		return monitor.Stats{}, err
	}
	return a.store.Minutes(ctx, queues, statsMinutes)
}

// Counts returns what this Admin has counted since it was made: how many calls of each function it cancelled. The other
// counts are a producer's or a worker's, and zero.
func (a *Admin) Counts() []monitor.Counts { return a.counters.Counts() }

// RedisErrors returns how many errors of Redis, or on the way to it, this Admin has met, by what it did: the names of
// scripts such as read and retry, ring and look.
func (a *Admin) RedisErrors() map[string]int64 { return a.store.ErrorCounts() }
