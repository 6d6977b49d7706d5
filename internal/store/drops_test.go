package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// told returns the tasks that the messages which have come on the queue's channel are about.
func (q *queue) told(about func()) []refcache.Ref {
	q.Helper()
	channel := store.DropsChannel(q.name)
	sub := q.hear(channel)
	about()
	var refs []refcache.Ref
	for _, message := range q.heard(sub, channel) {
		refs = append(refs, store.Dropped(channel, message))
	}
	return refs
}

func TestThatAResultIsNoLongerTheAnswerIsTold(t *testing.T) {
	onBoth(t, func(q *queue) {
		refreshed := q.complete()
		again := q.submission()
		again.Refresh = true
		require.Equal(q, []refcache.Ref{refreshed.ref}, q.told(func() { require.True(q, q.submit(refreshed.ref, again).Starts) }))
		require.Empty(q, q.told(func() { q.submit(refreshed.ref, again) }), "a resend changes nothing")

		deleted := q.complete()
		require.Equal(q, []refcache.Ref{deleted.ref}, q.told(func() {
			_, err := q.Delete(q.Context(), deleted.seen)
			require.NoError(q, err)
		}))

		damaged := q.complete()
		q.set(damaged.ref, "ttl", "x")
		require.Equal(q, []refcache.Ref{damaged.ref}, q.told(func() {
			_, err := q.DeleteDamaged(q.Context(), damaged.ref)
			require.NoError(q, err)
		}))
	})
}

// A message costs all who listen: there is none about what nobody can have kept.
func TestNothingIsToldAsLongAsThereWasNoResult(t *testing.T) {
	onBoth(t, func(q *queue) {
		require.Empty(q, q.told(func() {
			q.cancelled()
			q.retry(q.failed().seen, "r1", false)
			q.retry(q.exhausted().seen, "r2", true)
			_, err := q.Delete(q.Context(), q.failed().seen)
			require.NoError(q, err)
			k := q.complete()
			q.submit(k.ref, q.submission())
			q.read(k.ref)
		}))
	})
}

// Half of a transition would be worse than a result that is served a moment too long.
func TestWhoMayNotTellDropsAllTheSame(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "~refq:*", "&refq:{*}:in:*", "+@all")
	q := newQueue(t, dial(t, "redis://app:any@"+g.addr))
	k := q.complete()
	again := q.submission()
	again.Refresh = true
	require.True(t, q.submit(k.ref, again).Starts)
	q.sound(k.ref)
	k = q.complete()
	gone, err := q.Delete(t.Context(), k.seen)
	require.NoError(t, err)
	require.True(t, gone)
	q.sound(k.ref)
}
