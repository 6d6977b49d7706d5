//go:build unix

package e2e

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/netproxy"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// keeper is a producer that keeps results in memory.
type keeper struct {
	*lab
	p *producer.Producer
}

func (l *lab) keeper(way *netproxy.Proxy, stale time.Duration) keeper {
	l.Helper()
	p := producer.New(connect(l.T, l.url(way)), producer.Config{LocalCache: producer.LocalCache{Entries: 100, Stale: stale}})
	l.Cleanup(func() { _ = p.Close() })
	return keeper{l, p}
}

// has reports whether the keeper takes the call for complete.
func (k keeper) has(ref refcache.Ref) bool {
	k.Helper()
	res, err := k.p.Get(k.Context(), ref)
	if errors.Is(err, refcache.ErrTaskNotFound) {
		return false
	}
	require.NoError(k, err)
	return res.IsComplete
}

// listens waits until Redis tells so many connections what is dropped.
func (l *lab) listens(n int64) {
	l.Helper()
	channel := "refq:{" + l.work.Queue + "}:dropped"
	l.until("the keepers listen", func() bool { return l.rdb.PubSubShardNumSub(l.Context(), channel).Val()[channel] == n })
}

func TestDeletedResultIsForgottenElsewhereByMessage(t *testing.T) {
	t.Parallel()
	l, fn := newLab(t), &counted{}
	l.worker(nil, fn.run)
	ours, theirs := l.keeper(nil, time.Hour), l.keeper(nil, time.Hour)
	var took []time.Duration
	for range 11 {
		ref := l.submit(l.p, "in")
		l.becomes(ref, refcache.Complete)
		l.until("both keep it", func() bool { return ours.has(ref) && theirs.has(ref) })
		l.listens(2)
		require.True(t, theirs.has(ref))
		require.NoError(t, ours.p.Delete(t.Context(), ref))
		deleted := time.Now()
		require.False(t, ours.has(ref), "at once")
		for theirs.has(ref) {
			require.Less(t, time.Since(deleted), soon)
		}
		took = append(took, time.Since(deleted))
	}
	slices.Sort(took)
	require.Less(t, took[len(took)/2], testkit.Within(100*time.Millisecond), took) // a machine that stands still for a moment spoils no median
}

// The subscription's connection is open, and nothing ever comes through it: the worst way to lose messages.
func TestWithoutMessagesNoResultIsServedForMoreThanASecond(t *testing.T) {
	t.Parallel()
	l, fn := newLab(t), &counted{}
	l.worker(nil, fn.run)
	way := l.way()
	way.SetFaults(func(cmd []string) netproxy.Fault {
		if cmd[0] == "SSUBSCRIBE" && strings.HasSuffix(cmd[1], ":dropped") {
			return netproxy.Stall
		}
		return netproxy.Pass
	})
	k := l.keeper(way, 0)
	var stale time.Duration // the longest of all
	for range 3 {
		ref := l.submit(l.p, "in")
		l.becomes(ref, refcache.Complete)
		require.True(t, k.has(ref))
		require.NoError(t, l.p.Delete(t.Context(), ref))
		for deleted := time.Now(); ; {
			began := time.Now()
			if !k.has(ref) {
				break
			}
			stale = max(stale, began.Sub(deleted))
		}
		require.False(t, k.has(ref), "once gone, it is gone")
	}
	require.Less(t, stale, time.Second)
	require.Greater(t, stale, 100*time.Millisecond, "no message came")
}

func TestACutSubscriptionCostsWhatWasKept(t *testing.T) {
	t.Parallel()
	l, fn := newLabAt(t, "redis://"+testkit.New(t).Addr), &counted{}
	l.worker(nil, fn.run)
	var refuse atomic.Bool
	way := l.way()
	way.SetFaults(func(cmd []string) netproxy.Fault {
		if cmd[0] == "SSUBSCRIBE" && refuse.Load() {
			return netproxy.DropRequest
		}
		return netproxy.Pass
	})
	k := l.keeper(way, time.Hour)
	first, ref := l.submit(l.p, "first"), l.submit(l.p, "in")
	l.becomes(first, refcache.Complete)
	l.becomes(ref, refcache.Complete)
	require.True(t, k.has(first))
	l.listens(1)
	require.NoError(t, l.p.Delete(t.Context(), first))
	l.until("it has heard a message", func() bool { return !k.has(first) })
	require.True(t, k.has(ref))

	refuse.Store(true)
	require.NoError(t, l.rdb.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err())
	l.listens(0)
	require.NoError(t, l.p.Delete(t.Context(), ref))
	require.True(t, k.has(ref), "nobody has told it")
	refuse.Store(false)
	l.until("it is forgotten", func() bool { return !k.has(ref) })
}
