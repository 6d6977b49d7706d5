package store_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// tagged is a call of a function with tags.
func (q *queue) tagged(tags ...string) store.Submission {
	c := q.submission()
	c.Stamps = store.Stamps("default", c.Policy.Name, tags)
	return c
}

func (q *queue) invalidate(names ...string) {
	q.Helper()
	require.NoError(q, q.Invalidate(q.Context(), q.name, names))
}

// stamps are the stamps of the queue.
func (q *queue) stamps() map[string]int64 {
	q.Helper()
	found := map[string]int64{}
	for _, z := range q.rdb.ZRangeWithScores(q.Context(), q.key("stamps"), 0, -1).Val() {
		found[z.Member.(string)] = int64(z.Score)
	}
	return found
}

func TestWhatBeganBeforeAStampIsMadeAnew(t *testing.T) {
	for name, stamp := range map[string]string{
		"tag":       store.TagStamp("default", "user:7"),
		"function":  store.FuncStamp("default", "work"),
		"namespace": store.NamespaceStamp("default"),
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				c := q.tagged("user:7")
				c.Policy.Name = "work"
				c.Stamps = store.Stamps("default", "work", []string{"user:7"})
				ref := q.ref()
				k := task{ref: ref, worker: "w1", seen: q.submit(ref, c).Record}
				q.end(q.start(k), q.Completed([]byte("1")))
				c.Request = "r2"
				require.False(q, q.submit(ref, c).Starts)

				q.invalidate(store.TagStamp("default", "user:8"), store.FuncStamp("default", "walk"), store.NamespaceStamp("bank"))
				require.False(q, q.submit(ref, c).Starts, "these are not its stamps")
				q.invalidate(stamp)
				plain := c
				plain.Stamps, plain.Request = nil, "r3"
				require.False(q, q.submit(ref, plain).Starts, "an old producer does not look")
				c.Inbox = "refq:inbox:p"
				made := q.submit(ref, c)
				require.True(q, made.Starts)
				require.Equal(q, refcache.Pending, made.Status)
				require.False(q, made.AsOf().After(made.Stamp), "the result that is there is no answer")
				require.Equal(q, "refq:inbox:p", q.hash(ref)["waiters"])
				require.Equal(q, strconv.FormatInt(c.Policy.TTL.Milliseconds(), 10), q.rdb.HGet(q.Context(), q.key("sweep"), "max_ttl").Val())
			})
		})
	}
}

// The run under way began before: what it will make is no answer to calls from now on.
func TestACallThatJoinsARunIsToldThatItBeganBeforeAStamp(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing()
		q.invalidate(store.NamespaceStamp("default"))
		c := q.tagged()
		c.Request = "r2"
		made := q.submit(k.ref, c)
		require.False(q, made.Starts)
		require.False(q, made.StartedAt.After(made.Stamp))
	})
}

func TestAFailureThatBeganBeforeAStampAnswersNoLonger(t *testing.T) {
	onBoth(t, func(q *queue) {
		k, c := q.failed(), q.tagged()
		c.Request = "r2"
		require.False(q, q.submit(k.ref, c).Starts)
		q.invalidate(store.NamespaceStamp("default"))
		require.True(q, q.submit(k.ref, c).Starts)
	})
}

// A refresh that failed answers for its time, but not against a stamp that was set after it had begun.
func TestAFailedRefreshAnswersUntilALaterStamp(t *testing.T) {
	onBoth(t, func(q *queue) {
		k, c := q.complete(), q.tagged()
		c.Request = "r2"
		q.set(k.ref, "started_at", q.ago(time.Minute))
		q.score("stamps", store.NamespaceStamp("default"), q.now().Add(-30*time.Second))
		made := q.submit(k.ref, c)
		require.True(q, made.Starts)
		k.seen = made.Record
		q.end(q.start(k), store.Errored(permanent()))

		c.Request = "r3"
		made = q.submit(k.ref, c)
		require.False(q, made.Starts, "it has just failed")
		require.False(q, made.AsOf().After(made.Stamp), "and the old result is no answer")
		q.invalidate(store.NamespaceStamp("default"))
		require.True(q, q.submit(k.ref, c).Starts)
	})
}

func TestAStampNeverGoesBack(t *testing.T) {
	onBoth(t, func(q *queue) {
		ahead := q.now().Add(time.Hour)
		q.score("stamps", "n:default", ahead)
		q.invalidate("n:default")
		require.Equal(q, map[string]int64{"n:default": ahead.UnixMilli()}, q.stamps())
	})
}

// Stamps are kept as long as a result of a function with tags may live, and an hour. What is dropped counts for every call.
func TestR15ADroppedStampStillCounts(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.complete()
		began := q.read(k.ref).StartedAt
		q.invalidate("t:default other")
		q.score("stamps", "t:default other", began)
		q.sweep(10)
		require.Equal(q, map[string]int64{"t:default other": began.UnixMilli()}, q.stamps(), "it is young")

		old := q.now().Add(-2 * time.Hour)
		q.score("stamps", "t:default other", old)
		q.set(k.ref, "started_at", old.UnixMilli())
		q.rdb.HSet(q.Context(), q.key("sweep"), "max_ttl", (3 * time.Hour).Milliseconds())
		q.sweep(10)
		require.Equal(q, map[string]int64{"t:default other": old.UnixMilli()}, q.stamps(), "results may be as old")

		q.rdb.HSet(q.Context(), q.key("sweep"), "max_ttl", 1000)
		q.sweep(10)
		require.Equal(q, map[string]int64{"floor": old.UnixMilli()}, q.stamps())
		require.Empty(q, q.rdb.HGet(q.Context(), q.key("sweep"), "stamped").Val(), "there is nothing left to look at")
		c := q.tagged("user:7")
		c.Request = "r2"
		require.True(q, q.submit(k.ref, c).Starts, "too much is forgotten, never too little")
	})
}

func TestR15OfTooManyStampsTheOldestAreDropped(t *testing.T) {
	onBoth(t, func(q *queue) {
		start := q.now().Add(-10 * time.Second).Truncate(time.Second)
		for n, name := range []string{"t:default a", "t:default b", "t:default c", "t:default d"} {
			q.score("stamps", name, start.Add(time.Duration(n)*time.Second))
		}
		q.rdb.HSet(q.Context(), q.key("sweep"), "stamped", "1")
		left := map[string]int64{"floor": start.UnixMilli()} // of 4, tests keep 3
		for n, name := range []string{"t:default b", "t:default c", "t:default d"} {
			left[name] = start.Add(time.Duration(n+1) * time.Second).UnixMilli()
		}
		for range 2 {
			q.sweep(10)
			require.Equal(q, left, q.stamps())
		}

		q.invalidate("t:default e") // no sweep is needed: no worker may serve the queue
		require.Len(q, q.stamps(), 1+store.MaxStamps)
		require.Equal(q, start.Add(time.Second).UnixMilli(), q.stamps()["floor"])
	})
}

func TestInvalidatingTellsTheLocalCaches(t *testing.T) {
	onBoth(t, func(q *queue) {
		channel := store.DropsChannel(q.name)
		sub := q.hear(channel)
		q.invalidate("t:default user:7", "n:default")
		var names []string
		for _, message := range q.heard(sub, channel) {
			name, ok := store.DroppedStamp(message)
			require.True(q, ok)
			names = append(names, name)
		}
		require.Equal(q, []string{"t:default user:7", "n:default"}, names)
	})
}

func TestTheNewestStampIsRead(t *testing.T) {
	onBoth(t, func(q *queue) {
		stamp := func(names ...string) time.Time {
			at, err := q.Stamp(q.Context(), q.name, names)
			require.NoError(q, err)
			return at
		}
		require.Zero(q, stamp("n:default"))
		at := q.now().Truncate(time.Millisecond)
		q.score("stamps", "n:default", at.Add(-time.Second))
		q.score("stamps", "t:default a", at)
		require.Zero(q, stamp())
		require.Zero(q, stamp("n:bank"))
		require.True(q, at.Equal(stamp("n:default", "t:default a", "t:default b")))
		q.score("stamps", "floor", at.Add(time.Second))
		require.True(q, at.Add(time.Second).Equal(stamp("n:bank")))
	})
}
