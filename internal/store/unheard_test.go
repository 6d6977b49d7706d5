package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// An answer must not say that what is on record was refused because nobody could be told.
func TestWhoMayNotPublishIsRefusedNothingElse(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "~refq:*", "resetchannels", "+@all")
	q := newQueue(t, dial(t, "redis://app:any@"+g.addr+"?read_timeout=1m"))
	heard := func(inboxes ...string) task {
		k := task{ref: q.ref(), worker: "w1"}
		for _, inbox := range inboxes {
			s := q.submission()
			s.Inbox = inbox
			k.seen = q.submit(k.ref, s).Record
		}
		return q.start(k)
	}
	require.Equal(t, refcache.Complete, q.end(heard("refq:inbox:a"), q.Completed([]byte("1"))).seen.Status)
	require.Equal(t, refcache.Complete, q.end(heard("refq:inbox:a", "refq:inbox:b"), q.Completed([]byte("1"))).seen.Status)
	require.Equal(t, refcache.Failed, q.end(heard("refq:inbox:a"), store.Errored(permanent())).seen.Status)
	require.Equal(t, refcache.Cancelled, q.cancel(heard("refq:inbox:a")).seen.Status)
	q.works("w1", "f@1")
	require.NoError(t, q.WakeFor(t.Context(), q.name, "f@1"))
}
