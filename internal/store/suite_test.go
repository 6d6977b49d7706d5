package store_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refq/refq"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// queue is an empty queue on some Redis, and a Store to use it with.
type queue struct {
	*testing.T
	*store.Store
	rdb  redis.UniversalClient
	name string
	made int // calls in turn: see inTurn
}

// soon is what a slow machine may need between two commands.
const soon = time.Minute

// onBoth runs a test on an in-memory Redis, in a bubble, and on a real one, each time with a queue of its own. Such a
// test lets no time pass: it writes old times into the records and sets instead.
func onBoth(t *testing.T, test func(q *queue)) {
	t.Helper()
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			q, _ := bubble(t)
			test(q)
		})
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(newQueue(t, realRedis(t)))
	})
}

func realRedis(t *testing.T) redis.UniversalClient {
	rdb, err := refq.Connect("redis://" + testkit.Start(t) + testkit.Patience)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	return rdb
}

// bubble is a queue on an in-memory Redis of its own, for use in a synctest bubble: there time passes as the test sleeps.
func bubble(t *testing.T) (*queue, *memredis.Server) {
	server, err := memredis.New()
	require.NoError(t, err)
	t.Cleanup(server.Close)
	rdb := server.Client()
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	return newQueue(t, rdb), server
}

func newQueue(t *testing.T, rdb redis.UniversalClient) *queue {
	return &queue{t, store.New(rdb), rdb, "q" + strings.ToLower(rand.Text()), 0}
}

// another is a second queue on the same Redis.
func (q *queue) another() *queue { return newQueue(q.T, q.rdb) }

func (q *queue) ref() refcache.Ref {
	hash := make([]byte, 16)
	_, _ = rand.Read(hash) // never fails
	return refcache.Ref(q.name + ":" + hex.EncodeToString(hash))
}

// Keys, as the design names them.
func (q *queue) key(name string) string         { return "refq:{" + q.name + "}:" + name }
func (q *queue) record(ref refcache.Ref) string { return q.key("t:" + ref.Hash()) }
func (q *queue) index(s refcache.Status) string { return q.key(string(s)) }
func (q *queue) claims(worker string) string    { return q.key("claims:" + worker) }
func (q *queue) hash(ref refcache.Ref) fieldsMap {
	h, err := storetest.Read(q.Context(), q.rdb, q.record(ref))
	require.NoError(q, err)
	return h
}

type fieldsMap = map[string]string

// set writes fields of a record behind the Store's back.
func (q *queue) set(ref refcache.Ref, pairs ...any) {
	q.Helper()
	require.NoError(q, storetest.Set(q.Context(), q.rdb, q.record(ref), pairs...))
}

// now is Redis's clock.
func (q *queue) now() time.Time { return q.rdb.Time(q.Context()).Val() }

func (q *queue) ago(d time.Duration) string {
	return strconv.FormatInt(q.now().Add(-d).UnixMilli(), 10)
}

// score writes the score of a member of one of the queue's sorted sets.
func (q *queue) score(set, member string, at time.Time) {
	q.Helper()
	require.NoError(q, q.rdb.ZAdd(q.Context(), q.key(set), redis.Z{Score: float64(at.UnixMilli()), Member: member}).Err())
}

// completion writes an entry of the list of completions.
func (q *queue) completion(hash string, at time.Time) {
	q.Helper()
	require.NoError(q, q.rdb.LPush(q.Context(), q.key("completions"), fmt.Sprintf("%013d%s", at.UnixMilli(), hash)).Err())
}

// silence makes a worker look silent for d.
func (q *queue) silence(worker string, d time.Duration) {
	q.Helper()
	q.score("workers", worker, q.now().Add(-d))
}

// keepAlive makes a worker count as living for a minute, however slow the machine is.
func (q *queue) keepAlive(worker string) {
	q.Helper()
	q.silence(worker, store.DeadAfter-time.Minute)
}

// due makes a task that waits for its retry overdue by d.
func (q *queue) due(ref refcache.Ref, d time.Duration) {
	q.Helper()
	q.set(ref, "next_retry_at", q.ago(d))
	q.score("retrying", ref.Hash(), q.now().Add(-d))
}

// dump is everything that is stored about the queue, and whether it expires.
func (q *queue) dump() map[string]string {
	q.Helper()
	ctx := q.Context()
	keys, err := q.rdb.Keys(ctx, q.key("*")).Result()
	require.NoError(q, err)
	all := map[string]string{}
	for _, key := range keys {
		var text string
		switch kind := q.rdb.Type(ctx, key).Val(); kind {
		case "hash":
			h := q.rdb.HGetAll(ctx, key).Val()
			for _, field := range slices.Sorted(maps.Keys(h)) {
				text += fmt.Sprintf("%s=%q\n", field, h[field])
			}
		case "zset":
			for _, z := range q.rdb.ZRangeWithScores(ctx, key, 0, -1).Val() {
				text += fmt.Sprintf("%s at %.0f\n", z.Member, z.Score)
			}
		case "list":
			text = strings.Join(q.rdb.LRange(ctx, key, 0, -1).Val(), "\n")
		case "set":
			members := q.rdb.SMembers(ctx, key).Val()
			slices.Sort(members)
			text = strings.Join(members, "\n")
		case "string":
			text = q.rdb.Get(ctx, key).Val()
		default:
			require.Failf(q, "unexpected type", "%s is a %s", key, kind)
		}
		all[key] = fmt.Sprintf("%sexpires=%v", text, q.rdb.PTTL(ctx, key).Val() > 0)
	}
	return all
}

// sound checks what must be true of every record at any time: it is in the index of its status and in no other, or is
// found once among the complete ones if it is one, and has the fields of its status and no others.
func (q *queue) sound(ref refcache.Ref) {
	q.Helper()
	ctx, h := q.Context(), q.hash(ref)
	status := refcache.Status(h["status"])
	for _, s := range refcache.Statuses {
		if s == refcache.Processing || s == refcache.Complete {
			continue
		}
		err := q.rdb.ZScore(ctx, q.index(s), ref.Hash()).Err()
		require.Equal(q, s == status, err == nil, "%s task in index %s", status, s)
	}
	found := slices.DeleteFunc(q.completed(10), func(other refcache.Ref) bool { return other != ref })
	if status == refcache.Complete {
		require.Equal(q, []refcache.Ref{ref}, found)
	} else {
		require.Empty(q, found, "%s task among the complete ones", status)
	}
	for _, worker := range q.rdb.ZRange(ctx, q.key("workers"), 0, -1).Val() {
		token := q.rdb.HGet(ctx, q.claims(worker), ref.Hash()).Val()
		if worker == h["worker"] {
			require.Equal(q, h["token"], token, "claim of %s task", status)
		} else {
			require.Empty(q, token, "claim of a worker that does not run the task")
		}
	}
	if len(h) == 0 {
		return
	}
	has := func(field string) bool { _, ok := h[field]; return ok }
	require.Equal(q, status == refcache.Processing, has("token"), "token of %s task", status)
	require.Equal(q, status == refcache.Processing, has("worker"), "worker of %s task", status)
	require.Equal(q, status == refcache.Retrying, has("next_retry_at"), "due time of %s task", status)
	require.Equal(q, status.IsFinal(), has("completed_at"), "end of %s task", status)
	require.Equal(q, status.IsFinal(), q.rdb.PTTL(ctx, q.record(ref)).Val() > 0, "expiry of %s task", status)
	if status.IsFinal() {
		require.False(q, has("waiters") || has("updated_at") || has("note"), "%s task: %v", status, h)
		require.Equal(q, status == refcache.Complete, has("result"), "result of %s task", status)
	}
	for field, defaults := range map[string]string{"cycle": "1", "delivery": "1", "attempt": "0", "retry_count": "0",
		"lost_count": "0", "ns": "default", "version": "1", "v": "1", "max_retries": "3", "note": "", "result_encoding": ""} {
		value, ok := h[field]
		require.False(q, ok && value == defaults, "default of %s is written", field)
	}
}
