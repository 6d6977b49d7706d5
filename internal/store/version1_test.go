package store_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// version1 runs a script of the time before records of version 2, as a worker or producer that was not replaced yet does.
// The answer is what Redis says, or its error.
func (q *queue) version1(name string, ref refcache.Ref, args ...any) any {
	q.Helper()
	text, err := os.ReadFile("testdata/version1/" + name + ".txt")
	require.NoError(q, err)
	keys := []string{q.key("")}
	if ref != "" {
		keys = append(keys, q.record(ref))
	}
	answer, err := redis.NewScript(string(text)).Eval(q.Context(), q.rdb, keys, args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	return answer
}

// version1Claim has an old worker claim a task.
func (q *queue) version1Claim(k task) (task, bool) {
	k.token, k.worker = "old-"+k.ref.Hash()[:8], "old"
	answer := q.version1("claim", k.ref, k.token, k.worker)
	words, _ := answer.([]any)
	return k, len(words) > 0 && words[0] == "run"
}

// version1Submit has an old producer make the call.
func (q *queue) version1Submit(k task, request, revives string) any {
	return q.version1("submit", k.ref, request, "", revives, "f,,,,,,,,,,,", `{"n":1}`, "")
}

// refreshed are the ways in which a new producer leaves a record of version 2.
var refreshed = map[string]func(q *queue) task{
	"refresh": func(q *queue) task { return q.refresh(q.complete()) },
	"max age": func(q *queue) task {
		return q.renewed(func(c *store.Submission) { c.MaxAge = time.Minute })
	},
	"fresh": func(q *queue) task {
		return q.renewed(func(c *store.Submission) { c.Fresh = time.Minute })
	},
	"stamp": func(q *queue) task {
		q.invalidate(store.NamespaceStamp("default"))
		return q.renewed(func(c *store.Submission) { c.Stamps = []string{store.NamespaceStamp("default")} })
	},
}

// renewed is a complete task of two minutes ago that a call has started anew.
func (q *queue) renewed(terms func(*store.Submission)) task {
	q.Helper()
	k := q.complete()
	q.set(k.ref, "started_at", q.ago(2*time.Minute))
	c := q.submission()
	c.Request = "renews"
	terms(&c)
	made := q.submit(k.ref, c)
	require.True(q, made.Starts)
	k.seen = made.Record
	return k
}

// Workers are replaced before producers. Until all are, an old one puts off what it cannot read, and changes nothing of it.
func TestOldWorkersPutOffWhatNewProducersRefresh(t *testing.T) {
	for name, begin := range refreshed {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				k := begin(q)
				require.Equal(q, "2", q.hash(k.ref)["v"])
				before := q.dump()
				_, runs := q.version1Claim(k)
				require.False(q, runs)
				require.Equal(q, before, q.dump())

				started := q.start(k)
				before = q.dump()
				_, runs = q.version1Claim(k)
				require.False(q, runs)
				q.version1("finish", k.ref, "old", "complete", `"old"`, "")
				q.version1("redeliver", k.ref, "old", "old", "old")
				require.Equal(q, before, q.dump())
				q.end(started, q.Completed([]byte(`"new"`)))
				_, result, err := q.Result(q.Context(), k.ref, "")
				require.NoError(q, err)
				require.Equal(q, `"new"`, string(result))
				q.sound(k.ref)
			})
		})
	}
}

// An old producer joins a refresh, and takes the old result of one that failed; its own refresh ends as it did.
func TestOldProducersBesideRefreshes(t *testing.T) {
	for name, begin := range refreshed {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				k := begin(q)
				q.version1Submit(k, "old", "")
				q.version1Submit(k, "older", "complete")
				require.Equal(q, k.seen.Cycle, q.read(k.ref).Cycle, "nothing is started")
				q.end(q.start(k), store.Errored(permanent()))
				before := q.dump()
				q.version1Submit(k, "oldest", "")
				require.Equal(q, before, q.dump())
				_, result, err := q.Result(q.Context(), k.ref, "")
				require.NoError(q, err)
				require.Equal(q, `"done"`, string(result))
				q.sound(k.ref)
			})
		})
	}
	t.Run("its own", func(t *testing.T) {
		onBoth(t, func(q *queue) {
			k := q.complete()
			q.version1Submit(k, "old", "complete")
			k.seen = q.read(k.ref)
			require.Equal(q, refcache.Pending, k.seen.Status)
			require.Empty(q, q.hash(k.ref)["v"])
			q.end(q.start(k), store.Errored(permanent()))
			require.Equal(q, refcache.Failed, q.read(k.ref).Status)
			q.sound(k.ref)
		})
	})
}

// What has no need of a newer version goes from new processes to old ones and back.
func TestOldWorkersRunWhatNewOnesAskFor(t *testing.T) {
	ways := map[string]func(q *queue) task{
		"with tags": func(q *queue) task {
			k := task{ref: q.ref(), worker: "w1"}
			k.seen = q.submit(k.ref, q.tagged("user:7")).Record
			return k
		},
		"handed on": func(q *queue) task {
			k := q.processing()
			for range 2 {
				k = q.end(k, store.HandedOn("no member", k.worker, store.LacksMember))
				k = q.start(k)
			}
			return q.end(k, store.HandedOn("no member", k.worker, store.LacksMember))
		},
		"retried under a policy of today": func(q *queue) task {
			k := q.failed()
			policy := q.policy()
			policy.MaxRetries, policy.TTL = 7, time.Hour
			_, r, err := q.RetryUnder(q.Context(), k.seen, "r1", "ann@host", policy, store.Turn{})
			require.NoError(q, err)
			k.seen = r
			return k
		},
		"failed with a code, and retried": func(q *queue) task {
			k := q.processing()
			failure := permanent()
			failure.Code, failure.Details = "quota", []byte(`{"left":0}`)
			k = q.end(k, store.Errored(failure))
			_, r := q.retry(k.seen, "r1", true)
			k.seen = r
			return k
		},
	}
	for name, begin := range ways {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				k := begin(q)
				k, runs := q.version1Claim(k)
				require.True(q, runs)
				q.sound(k.ref)
				q.version1("finish", k.ref, k.token, "complete", `"old"`, "")
				c := q.tagged("user:7")
				c.Request = "after"
				made := q.submit(k.ref, c)
				require.Equal(q, `"old"`, string(made.Result))
				require.False(q, made.Starts)
				q.invalidate(store.TagStamp("default", "user:7"))
				c.Request = "later"
				require.True(q, q.submit(k.ref, c).Starts, "the start of an old worker's attempt counts as well")
				q.sound(k.ref)
			})
		})
	}
}

// An old sweep and an old retry by hand know nothing of stamps and of words about a result.
func TestOldSweepsAndRetriesLeaveNoResultFromNowhere(t *testing.T) {
	for name, begin := range refreshed {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				k := begin(q)
				k = q.end(q.start(k), store.Errored(permanent()))
				stamps := q.stamps()
				q.version1("sweep", "", "100", "1")
				require.Equal(q, stamps, q.stamps())
				answer := q.version1("retry", k.ref, "old", "fresh", k.seen.CreatedAt.UnixMilli(), k.seen.Delivery, "ann@host")
				require.False(q, strings.Contains(toText(answer), "accepted"))
				now, result, err := q.Result(q.Context(), k.ref, "")
				require.NoError(q, err)
				require.Equal(q, refcache.Complete, now.Status)
				require.Equal(q, `"done"`, string(result))
				q.sound(k.ref)
			})
		})
	}
}

func toText(answer any) string {
	words, _ := answer.([]any)
	if len(words) == 0 {
		return ""
	}
	text, _ := words[0].(string)
	return text
}
