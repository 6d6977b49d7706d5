package store_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

func (q *queue) fields(k task) []string { return slices.Sorted(maps.Keys(q.hash(k.ref))) }

func TestPlainCallHasExactlyTheseFields(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.pending()
		require.Equal(q, []string{"args", "created_at", "func", "req", "status"}, q.fields(k))
		k = q.start(k)
		require.Equal(q, []string{"args", "attempt", "created_at", "func", "req", "started_at", "status", "token", "worker"}, q.fields(k))
		k = q.end(k, q.Completed([]byte("1")))
		require.Equal(q, []string{"args", "attempt", "completed_at", "created_at", "func", "last_token", "req", "result", "started_at", "status"}, q.fields(k))
		require.Equal(q, map[string]string{"attempt": "1", "func": "f", "args": `{"n":1}`, "result": "1", "status": "complete", "last_token": k.token},
			drop(q.hash(k.ref), "created_at", "completed_at", "started_at", "req"))
	})
}

func drop(h map[string]string, fields ...string) map[string]string {
	maps.DeleteFunc(h, func(field, _ string) bool { return slices.Contains(fields, field) })
	return h
}

func TestFailingCallHasExactlyTheseFields(t *testing.T) {
	onBoth(t, func(q *queue) {
		f := failure()
		f.Note = "a note"
		k := q.end(q.processing(), store.Errored(f))
		require.Equal(q, []string{"args", "attempt", "attempt:1", "created_at", "func", "hist_n", "last_error", "last_token",
			"next_retry_at", "note", "req", "retry_count", "started_at", "status", "updated_at"}, q.fields(k))
		k = q.end(q.start(k), store.Errored(permanent()))
		require.Equal(q, []string{"args", "attempt", "attempt:1", "attempt:2", "completed_at", "created_at", "func", "hist_n",
			"last_error", "last_token", "req", "retry_count", "started_at", "status"}, q.fields(k))
	})
}

func TestReadersAskForEveryFieldOnce(t *testing.T) {
	t.Parallel()
	sorted := slices.Sorted(slices.Values(store.Fields))
	require.Equal(t, len(sorted), len(slices.Compact(sorted)))
	for _, large := range []string{"args", "result"} {
		require.NotContains(t, store.Fields, large)
	}
}

func TestHistoryKeepsTheLastHundredAndCountsAll(t *testing.T) {
	onBoth(t, func(q *queue) {
		c, ref := q.submission(), q.ref()
		c.Policy.MaxRetries = 10_000
		q.submit(ref, c)
		k := task{ref: ref, worker: "w1"}
		for n := 1; n <= 103; n++ {
			k = q.start(k)
			q.finish(ref, k.token, store.Errored(store.Failure{Error: fmt.Sprint("error ", n), Cause: refcache.CausePanic, Delay: time.Duration(n) * time.Millisecond}))
			q.due(ref, 0)
		}
		for range 101 {
			k = q.start(k)
			q.finish(ref, k.token, store.Released("", "w7"))
		}
		q.cancel(task{ref: ref, seen: q.read(ref)})

		info := q.info(ref)
		require.Equal(q, []int{103, 102}, []int{info.AttemptsTotal, info.EventsTotal})
		require.Len(q, info.RetryHistory, 100)
		require.Len(q, info.Events, 100)
		for i, a := range info.RetryHistory {
			n := i + 4
			require.Equal(q, fmt.Sprint("error ", n), a.Error)
			require.Equal(q, []int{1, n}, []int{a.Cycle, a.Attempt})
			require.Equal(q, time.Duration(n)*time.Millisecond, a.Delay)
			require.Equal(q, []any{refcache.CausePanic, "w1"}, []any{a.Cause, a.Worker})
			require.False(q, a.Timestamp.Before(a.StartedAt))
			require.Equal(q, a.Timestamp.Sub(a.StartedAt), a.Duration)
		}
		require.Equal(q, refcache.EventHandedBack, info.Events[98].Kind)
		require.Equal(q, refcache.EventCancel, info.Events[99].Kind)
		kept := 0
		for _, field := range q.fields(k) {
			if strings.HasPrefix(field, "attempt:") || strings.HasPrefix(field, "event:") {
				kept++
			}
		}
		require.Equal(q, 200, kept, "what is not shown is not stored")
	})
}

func TestTextsOfErrorsComeBackAsTheyWere(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, text := range []string{"", "two\nlines\t\"quoted\" \\ back", "Grüße 世界 \u2028", "\x00\x1b[31m", strings.Repeat("x", 8<<10)} {
			k := q.end(q.processing(), store.Errored(store.Failure{Error: text, Cause: refcache.CauseError, Permanent: true}))
			info := q.info(k.ref)
			require.Equal(q, text, info.Error)
			require.Equal(q, text, info.LastError)
			require.Equal(q, text, info.RetryHistory[0].Error)
		}
	})
}

func TestInfoTellsTheWholeStory(t *testing.T) {
	onBoth(t, func(q *queue) {
		c, ref := q.submission(), q.ref()
		c.Namespace, c.Policy.Version, c.Policy.MaxRetries = "shop", 4, 1
		q.submit(ref, c)
		k := q.end(q.start(task{ref: ref, worker: "w1"}), store.Errored(failure()))
		k = q.end(q.start(k), store.Errored(store.Failure{Error: "too slow", Cause: refcache.CauseTimeout}))
		info := q.info(ref)
		require.Equal(q, []any{ref, "f", 4, "shop", q.name, refcache.Failed}, []any{info.RefID, info.Func, info.Version, info.Namespace, info.Queue, info.Status})
		require.Equal(q, []any{1, 2, "", 1, 1, 0}, []any{info.Cycle, info.Attempt, info.Worker, info.RetryCount, info.MaxRetries, info.LostCount})
		require.Equal(q, []any{"too slow", "too slow", refcache.CauseTimeout}, []any{info.Error, info.LastError, info.ErrorCause})
		require.Equal(q, []any{false, true}, []any{info.CanRetry, info.Exhausted})
		require.Equal(q, []any{time.Second, 2.0, 5 * time.Minute}, []any{info.RetryDelay, info.RetryBackoffFactor, info.Timeout})
		require.Equal(q, 168*time.Hour, info.ExpiresAt.Sub(*info.CompletedAt))
		require.Nil(q, info.NextRetryAt)
		require.Equal(q, k.seen.StartedAt, *info.StartedAt)
	})
}

func TestATaskIsReadWhole(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.end(q.start(q.end(q.processing(), store.Errored(failure()))), q.Completed(bytes.Repeat([]byte("7"), 5000)))
		whole, err := q.Whole(q.Context(), k.ref)
		require.NoError(q, err)
		require.Equal(q, q.read(k.ref).CreatedAt, whole.CreatedAt)
		require.Equal(q, q.info(k.ref), whole.Info)
		require.Len(q, whole.Info.RetryHistory, 1)
		require.Equal(q, `{"n":1}`, string(whole.Args))
		require.Equal(q, bytes.Repeat([]byte("7"), 5000), whole.Result)

		whole, err = q.Whole(q.Context(), q.cancelled().ref)
		require.NoError(q, err)
		require.Nil(q, whole.Result)
		require.Len(q, whole.Info.RetryHistory, 1)
		require.Len(q, whole.Info.Events, 1)
		_, err = q.Whole(q.Context(), q.ref())
		require.ErrorIs(q, err, refcache.ErrTaskNotFound)
	})
}

func TestRecordOfANewerVersionIsRefusedClearly(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.pending()
		q.set(k.ref, "v", store.RecordVersion+1)
		_, err := q.Read(q.Context(), k.ref)
		require.EqualError(q, err, fmt.Sprintf("record of %s has version %d: written by a newer refq, update this one", k.ref, store.RecordVersion+1))
	})
}

func TestMissingHistoryEntriesArePassedOver(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.end(q.start(q.retrying(0)), store.Errored(permanent()))
		q.rdb.HDel(q.Context(), q.record(k.ref), "attempt:1")
		info := q.info(k.ref)
		require.Len(q, info.RetryHistory, 1)
		require.Equal(q, "hopeless", info.RetryHistory[0].Error)
		require.Equal(q, 2, info.AttemptsTotal)
	})
}

func second[T any](_ T, err error) error { return err }

func TestIndexOfAnotherTypeIsAnErrorThatNamesTheQueue(t *testing.T) {
	onBoth(t, func(q *queue) {
		require.NoError(q, q.rdb.Set(q.Context(), q.key("workers"), "x", 0).Err())
		_, err := q.Heartbeat(q.Context(), q.name, store.Beat{Worker: "w1"})
		require.ErrorContains(q, err, "beat of worker w1 in queue "+q.name)
		require.ErrorContains(q, q.RemoveWorker(q.Context(), q.name, "w1", "w2"), "drop worker w1 of queue "+q.name)
		require.ErrorContains(q, second(q.Running(q.Context(), q.name)), "list workers of queue "+q.name)
		require.NoError(q, q.rdb.Set(q.Context(), q.index(refcache.Pending), "x", 0).Err())
		require.ErrorContains(q, second(q.Sweep(q.Context(), q.name, 10, false, "bell:", "w")), "sweep queue "+q.name)
		ref := q.ref()
		err = second(q.Submit(q.Context(), ref, q.submission()))
		require.ErrorContains(q, err, fmt.Sprintf("submit %s: one of the keys refq:{%s}:* is not refq's: ", ref, q.name))
	})
}

func TestASweepLeavesTheLastTenThousandCompletionsListed(t *testing.T) {
	testkit.Long(t)
	onBoth(t, func(q *queue) {
		var entries []any
		for n := range 10_100 {
			entries = append(entries, fmt.Sprintf("%013d%032d", n, n))
		}
		require.NoError(q, q.rdb.LPush(q.Context(), q.key("completions"), entries...).Err())
		q.score("t:"+fmt.Sprintf("%032d", 101), "no record", q.now()) // damaged: it stays listed
		k := q.complete()
		q.sweep(1)
		listed := q.walk(refcache.Complete, 1_000)
		require.Len(q, listed, 10_000)
		require.Equal(q, k.ref, listed[0])
		require.Equal(q, fmt.Sprintf("%032d", 101), listed[9_999].Hash())
	})
}
