package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// counting is a piggyback that counts how often it runs, and answers that.
func (q *queue) counting() *script.Piggyback {
	return &script.Piggyback{Text: "return redis.call('INCRBY', KEYS[1], ARGV[1])", Use: script.Use{Keys: []string{q.key("runs")}, Args: []any{1}}}
}

// failing is a piggyback that writes something, and fails then.
func (q *queue) failing() *script.Piggyback {
	return &script.Piggyback{Text: "redis.call('INCR', KEYS[1]) redis.call('LPUSH', KEYS[1], 'x')", Use: script.Use{Keys: []string{q.key("runs")}}}
}

func (q *queue) runs() string { return q.rdb.Get(q.Context(), q.key("runs")).Val() }

func TestR10PiggybackRunsBehindTheFastPathAlone(t *testing.T) {
	onBoth(t, func(q *queue) {
		c, ref := q.submission(), q.ref()
		c.Enqueue = q.counting()
		require.True(q, q.submit(ref, c).Enqueued)
		require.Equal(q, "1", q.runs())
		require.False(q, q.submit(ref, c).Enqueued, "a resend takes the full path")
		c.Request = "another"
		require.False(q, q.submit(ref, c).Enqueued, "a join, too")
		require.Equal(q, "1", q.runs())

		k := q.start(task{ref: ref, worker: "w1"})
		outcome := q.Completed([]byte("1"))
		outcome.Ack = q.counting()
		require.True(q, q.finish(ref, k.token, outcome).Acked)
		require.Equal(q, "2", q.runs())
		require.Equal(q, store.Finished{Current: true, Status: refcache.Complete}, q.finish(ref, k.token, outcome), "a resend")
		require.False(q, q.finish(ref, "void", outcome).Acked)
		require.False(q, q.submit(ref, c).Enqueued, "a hit")
		require.Equal(q, "2", q.runs())

		k = q.processing()
		failed := store.Errored(failure())
		failed.Ack = q.counting()
		require.False(q, q.finish(k.ref, k.token, failed).Acked)
		require.Equal(q, "2", q.runs())
		require.Empty(q, q.ErrorCounts())
	})
}

// Without the rule the caller would take a call that is made, or an attempt that is over, for one that is not.
func TestR10PiggybackThatFailsLeavesItsTransitionAlone(t *testing.T) {
	onBoth(t, func(q *queue) {
		c, ref := q.submission(), q.ref()
		c.Enqueue = q.failing()
		made := q.submit(ref, c)
		require.Equal(q, []any{true, false, refcache.Pending}, []any{made.Starts, made.Enqueued, made.Status})
		require.Equal(q, map[string]int64{"piggyback": 1}, q.ErrorCounts())
		q.sound(ref)

		k := q.start(task{ref: ref, worker: "w1"})
		outcome := q.Completed([]byte("1"))
		outcome.Ack = q.failing()
		require.Equal(q, store.Finished{Current: true, Status: refcache.Complete}, q.finish(ref, k.token, outcome))
		require.Equal(q, map[string]int64{"piggyback": 2}, q.ErrorCounts())
		q.sound(ref)
		require.Equal(q, "2", q.runs(), "what it wrote before it failed stays")
	})
}
