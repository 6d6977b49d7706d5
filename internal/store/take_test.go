package store_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// handing is a list whose dequeue hands out a doorbell that names a task, and that cannot be set aside.
func (q *queue) handing(ref refcache.Ref) store.Doorbells {
	return store.Doorbells{Dequeue: script.Piggyback{Text: "return {ARGV[1], KEYS[1], false}",
		Use: script.Use{Keys: []string{string(ref)}, Args: []any{"message"}}}}
}

// nothing are the names of a worker that knows no function.
var nothing = store.NewKnown(nil)

func (q *queue) take(ref refcache.Ref, token string) store.Dequeued {
	q.Helper()
	taken, err := q.DequeueAndClaim(q.Context(), q.name, token, "w1", nothing, q.handing(ref))
	require.NoError(q, err)
	require.Equal(q, "message", taken.Message, "whatever becomes of the task")
	return taken
}

func TestTakeClaimsAsClaimDoes(t *testing.T) {
	onBoth(t, func(q *queue) {
		one, other := q.pending().ref, q.pending().ref
		want, err := q.ClaimUnsuspected(q.Context(), one, "t1", "w1", "")
		require.NoError(q, err)
		taken := q.take(other, "t2")
		require.Equal(q, other, taken.Ref)
		got := taken.Claim
		got.Record.Ref = one
		got.Record.CreatedAt, got.Record.StartedAt, got.Record.ReadAt = want.Record.CreatedAt, want.Record.StartedAt, want.Record.ReadAt
		require.Equal(q, want, got)

		done, err := q.Finish(q.Context(), other, "t2", q.Completed([]byte("1")))
		require.NoError(q, err)
		require.Equal(q, refcache.Complete, done.Status)
		require.Equal(q, map[string]string{one.Hash(): "t1"}, q.rdb.HGetAll(q.Context(), q.claims("w1")).Val())
	})
}

func TestTakeLeavesWhatIsNotPlainToClaim(t *testing.T) {
	for name, prepare := range map[string]func(q *queue, ref refcache.Ref) (named refcache.Ref){
		"no record": func(q *queue, ref refcache.Ref) refcache.Ref {
			q.rdb.Del(q.Context(), q.record(ref))
			return ref
		},
		"not a record": func(q *queue, ref refcache.Ref) refcache.Ref {
			q.rdb.Del(q.Context(), q.record(ref))
			q.rdb.Set(q.Context(), q.record(ref), "x", 0)
			return ref
		},
		"claims that are not ours": func(q *queue, ref refcache.Ref) refcache.Ref {
			q.rdb.Set(q.Context(), q.claims("w1"), "x", 0)
			return ref
		},
		"processing": func(q *queue, ref refcache.Ref) refcache.Ref {
			q.claim(ref, "t1", "w2")
			return ref
		},
		"a note": func(q *queue, ref refcache.Ref) refcache.Ref {
			q.rdb.HSet(q.Context(), q.record(ref), "note", "x")
			return ref
		},
		"another queue": func(_ *queue, ref refcache.Ref) refcache.Ref { return "x" + ref },
		"no ref_id":     func(*queue, refcache.Ref) refcache.Ref { return "a message of somebody's" },
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				named := prepare(q, q.pending().ref)
				q.rdb.ZAdd(q.Context(), q.key("workers"), redis.Z{Score: 1, Member: "w1"}) // what a claim may touch
				before := q.dump()
				taken := q.take(named, "t2")
				if named.Queue() == q.name {
					require.Equal(q, named, taken.Ref)
				} else {
					require.Empty(q, taken.Ref)
				}
				require.False(q, taken.Claim.Run)
				after := q.dump()
				delete(before, q.key("workers"))
				delete(after, q.key("workers"))
				require.Equal(q, before, after)
			})
		})
	}
}

func TestNothingTakenIsNoError(t *testing.T) {
	onBoth(t, func(q *queue) {
		taken, err := q.DequeueAndClaim(q.Context(), q.name, "t1", "w1", nothing, store.Doorbells{Dequeue: script.Piggyback{Text: "return false"}})
		require.NoError(q, err)
		require.Equal(q, store.Dequeued{}, taken)
	})
}
