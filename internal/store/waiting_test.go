package store_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// sharded tells whether Redis has sharded channels.
func (q *queue) sharded() bool {
	err := q.rdb.SPublish(q.Context(), store.WakeChannel(q.name, "nobody"), "").Err()
	if redis.HasErrorPrefix(err, "unknown command") {
		return false
	}
	require.NoError(q, err)
	return true
}

// hear subscribes to channels.
func (q *queue) hear(channels ...string) *redis.PubSub {
	q.Helper()
	subscribe := q.rdb.Subscribe
	if q.sharded() {
		subscribe = q.rdb.SSubscribe
	}
	sub := subscribe(q.Context(), channels...)
	q.Cleanup(func() { require.NoError(q, sub.Close()) })
	for range channels {
		_, err := sub.Receive(q.Context())
		require.NoError(q, err)
	}
	return sub
}

// say publishes a message as scripts do.
func (q *queue) say(channel, message string) {
	publish := q.rdb.Publish
	if q.sharded() {
		publish = q.rdb.SPublish
	}
	require.NoError(q, publish(q.Context(), channel, message).Err())
}

// heard returns the first lines of the messages that have come on a channel.
func (q *queue) heard(sub *redis.PubSub, channel string) []string {
	q.Helper()
	q.say(channel, "the last")
	var messages []string
	for {
		m, err := sub.ReceiveMessage(q.Context())
		require.NoError(q, err)
		if m.Payload == "the last" {
			return messages
		}
		line, _, _ := strings.Cut(m.Payload, "\n")
		messages = append(messages, line)
	}
}

func (q *queue) wait(k task, inbox string) {
	q.Helper()
	_, _, err := q.Result(q.Context(), k.ref, inbox)
	require.NoError(q, err)
}

// Whichever script makes a task final tells those who wait, once each.
func TestEveryEndIsToldToThoseWhoWait(t *testing.T) {
	onBoth(t, func(q *queue) {
		inbox, channel := store.Inbox("p"), store.InboxChannel(q.name, "p")
		sub := q.hear(channel)
		for name, c := range map[string]struct {
			end    func(k task)
			status refcache.Status
		}{
			"complete":      {func(k task) { q.end(k, q.Completed(nil)) }, refcache.Complete},
			"failed":        {func(k task) { q.end(k, store.Errored(permanent())) }, refcache.Failed},
			"cancelled":     {func(k task) { q.cancel(k) }, refcache.Cancelled},
			"lost for good": {func(k task) { q.set(k.ref, "lost_count", 3); q.redeliver(k, "w1") }, refcache.Failed},
		} {
			k := q.processing()
			q.wait(k, inbox)
			q.wait(k, inbox)
			q.wait(k, "refq:inbox:other")
			require.Empty(q, q.heard(sub, channel))
			c.end(k)
			require.Equal(q, []string{fmt.Sprintf("%s 1 %s", k.ref, c.status)}, q.heard(sub, channel), name)
			require.NotContains(q, q.hash(k.ref), "waiters")
		}
	})
}

func TestMessageNamesTheCycleThatEnded(t *testing.T) {
	onBoth(t, func(q *queue) {
		inbox, channel := store.Inbox("p"), store.InboxChannel(q.name, "p")
		sub := q.hear(channel)
		k := q.failed()
		q.wait(k, inbox) // too late for this cycle
		q.retry(k.seen, "r1", true)
		c := q.submission()
		c.Inbox = inbox
		require.False(q, q.submit(k.ref, c).Starts)
		k = q.end(q.start(k), store.Errored(failure()))
		require.Empty(q, q.heard(sub, channel), "a retry is no end")
		q.end(q.start(k), q.Completed(nil))
		require.Equal(q, []string{string(k.ref) + " 2 complete"}, q.heard(sub, channel))
	})
}

func TestWhoSubmitsIsTold(t *testing.T) {
	onBoth(t, func(q *queue) {
		inbox, channel := store.Inbox("p"), store.InboxChannel(q.name, "p")
		sub := q.hear(channel)
		c, ref := q.submission(), q.ref()
		c.Inbox = inbox
		q.submit(ref, c)
		c = q.submission()
		c.Inbox, c.RetryFailed = inbox, true
		k := q.end(q.start(task{ref: ref, worker: "w1"}), store.Errored(permanent()))
		q.submit(ref, c)
		q.end(q.start(k), q.Completed(nil))
		require.Equal(q, []string{string(ref) + " 1 failed", string(ref) + " 2 complete"}, q.heard(sub, channel))
	})
}

func TestOnlyTasksInFlightTakeWaiters(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, k := range []task{q.pending(), q.processing(), q.retrying(time.Hour)} {
			q.wait(k, "a")
			q.wait(k, "b")
			q.wait(k, "a")
			require.Equal(q, "a,b", q.hash(k.ref)["waiters"])
		}
		for _, k := range []task{q.complete(), q.failed(), q.cancelled()} {
			before := q.dump()
			q.wait(k, "a")
			require.Equal(q, before, q.dump())
		}
		before := q.dump()
		_, _, err := q.Result(q.Context(), q.ref(), "a")
		require.ErrorIs(q, err, refcache.ErrTaskNotFound)
		require.Equal(q, before, q.dump())
	})
}

func TestInboxIsNotTakenForAnotherThatItIsPartOf(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.pending()
		q.wait(k, "refq:inbox:abc.1")
		q.wait(k, "refq:inbox:abc") // a part of it
		q.wait(k, "refq:inbox:a.c") // as a pattern it matches the last one
		require.Equal(q, "refq:inbox:abc.1,refq:inbox:abc,refq:inbox:a.c", q.hash(k.ref)["waiters"])
	})
}

func TestAtMost64InboxesAreTold(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.pending()
		for n := range 70 {
			q.wait(k, fmt.Sprintf("refq:inbox:%d", n))
		}
		waiters := strings.Split(q.hash(k.ref)["waiters"], ",")
		require.Len(q, waiters, 64)
		require.Equal(q, "refq:inbox:63", waiters[63])
	})
}

func TestWaitingMovesNothingElse(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.pending()
		before := q.hash(k.ref)
		q.wait(k, "a")
		after := q.hash(k.ref)
		delete(after, "waiters")
		require.Equal(q, before, after)
	})
}

func TestWorkerIsToldWhichAttemptWasCancelled(t *testing.T) {
	onBoth(t, func(q *queue) {
		worker := "w" + q.name
		channel := store.CancelChannel(q.name, worker)
		sub := q.hear(channel)
		k := q.start(task{ref: q.pending().ref, worker: worker})
		q.cancel(k)
		q.cancel(q.pending())
		require.Equal(q, []string{k.token}, q.heard(sub, channel))
	})
}

// A waiter that was told needs no second look.
func TestTheEndIsToldWithItsRecordAndResult(t *testing.T) {
	onBoth(t, func(q *queue) {
		inbox := store.Inbox("p")
		sub := q.hear(store.InboxChannel(q.name, "p"))
		end := func(o store.Outcome) (store.End, store.Record, []byte) {
			k := q.processing()
			q.wait(k, inbox)
			q.end(k, o)
			m, err := sub.ReceiveMessage(q.Context())
			require.NoError(q, err)
			told, ok := q.ParseEnd(m.Payload)
			require.True(q, ok)
			require.Equal(q, k.ref, told.Ref)
			record, result, err := q.Result(q.Context(), k.ref, "")
			require.NoError(q, err)
			record.ReadAt = told.Record.ReadAt
			return told, record, result
		}
		long := []byte(strings.Repeat("a", 5000))    // packs well
		random := []byte(rand.Text() + string(long)) // not as it is stored, so it is short enough
		for _, o := range []store.Outcome{q.Completed(nil), q.Completed([]byte("{}\n1:2-")), q.Completed(random), store.Errored(permanent())} {
			told, record, result := end(o)
			require.True(q, told.Whole)
			require.Equal(q, record, told.Record)
			require.Equal(q, result, told.Result)
		}
		told, _, _ := end(q.Completed(incompressible(9 << 10)))
		require.False(q, told.Whole, "a long result is read by who wants it")
	})
}

func incompressible(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func TestWhatIsNoEndIsNotTakenForOne(t *testing.T) {
	s := store.New(nil)
	for _, message := range []string{"", "a", "a 1", "a b c d", "\n-"} {
		_, ok := s.ParseEnd(message)
		require.False(t, ok, "%q", message)
	}
	for _, message := range []string{"a 1 complete", "a 1 complete\n", "a 1 complete\n9:x", "a 1 complete\n-1:x", "a 1 complete\n-", "a 1 complete\n" + strings.Repeat("-", 99)} {
		end, ok := s.ParseEnd(message)
		require.True(t, ok, "%q", message)
		require.False(t, end.Whole, "%q", message)
	}
}
