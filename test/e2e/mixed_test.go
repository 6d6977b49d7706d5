//go:build unix

package e2e

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// size is the length of a list or a set of the lab's queue.
func (l *lab) size(name string) int {
	l.Helper()
	key := "refq:{" + l.work.Queue + "}:" + name
	switch kind := l.rdb.Type(l.Context(), key).Val(); kind {
	case "none":
		return 0
	case "list":
		return int(l.rdb.LLen(l.Context(), key).Val())
	case "set":
		return int(l.rdb.SCard(l.Context(), key).Val())
	case "zset":
		return int(l.rdb.ZCard(l.Context(), key).Val())
	default:
		require.Fail(l, "has no size", "%s is a %s", key, kind)
		return 0
	}
}

// numbered are arguments: a word with numbers from 0 on.
func numbered(word string, n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range n {
			if !yield(fmt.Sprint(word, i)) {
				return
			}
		}
	}
}

// submitAll makes calls and returns their ref_ids.
func submitAll[In, Out any](l *lab, f refcache.Func[In, Out], ins iter.Seq[In]) (refs []refcache.Ref) {
	l.Helper()
	for _, made := range producer.SubmitMany(l.Context(), l.p, f, ins) {
		require.NoError(l, made.Err)
		refs = append(refs, made.Ref)
	}
	return refs
}

// says answers with a word and the argument.
func says(word string) func(context.Context, string) (string, error) {
	return func(_ context.Context, in string) (string, error) { return word + " " + in, nil }
}

// Of two workers of a queue each knows a function that the other does not. Their clocks stand still: had a call to wait for a look,
// a heartbeat or a sweep, it would not run.
func TestEachCallRunsAtOnceWhereItsFunctionIsKnown(t *testing.T) {
	for name, change := range map[string]func(f *refcache.Func[string, string]){
		"two functions": func(f *refcache.Func[string, string]) { f.Name = "other" },
		"two versions":  func(f *refcache.Func[string, string]) { f.Version = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			functions := []refcache.Func[string, string]{l.work, l.work}
			change(&functions[1])
			for n, f := range functions {
				client := l.clockless()
				l.starts(client, 4, handles(f, says(fmt.Sprint(n))))
				l.until("it is idle", func() bool { return l.size("idle") == n+1 })
				client.setClock(false)
			}
			var took []time.Duration
			for n := range testkit.Rounds(1000) {
				start := time.Now()
				res, err := producer.Call(t.Context(), l.p, functions[n%2], fmt.Sprint(n))
				took = append(took, time.Since(start))
				require.NoError(t, err)
				require.True(t, res.IsComplete, "call %d", n)
				require.Equal(t, fmt.Sprintf("%d %d", n%2, n), res.Value)
				info := l.info(res.RefID)
				require.Equal(t, []int{1, 0, 0, 0}, []int{info.Attempt, info.RetryCount, info.LostCount, info.EventsTotal}, "nobody handed it back")
			}
			slices.Sort(took)
			t.Logf("%d calls one at a time: median %v, longest %v", len(took), took[len(took)/2], took[len(took)-1])
			require.Zero(t, l.doorbells("retry"), "no doorbell is put off")
		})
	}
}

// Whoever knows ten calls does not ask for ten thousand others one by one. Nor does a worker that starts, and knows those, need a
// clock to find them.
func TestUnknownCallsHoldUpNoOthersAndRunWhenAWorkerStartsThatKnowsThem(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	l, fn, n := newLab(t), &counted{}, testkit.Rounds(10_000)
	known := l.work
	known.Name = "known"
	unknown := submitAll(l, l.work, numbered("unknown", n))
	refs := submitAll(l, known, numbered("known", 10))
	stranger := l.clockless()
	stranger.setClock(false)
	start := time.Now()
	l.starts(stranger, 4, handles(known, says("known")))
	for _, ref := range refs {
		l.becomes(ref, refcache.Complete)
	}
	l.Logf("%d calls that nobody knows, then 10: these had ended after %v and %d dequeues", n,
		time.Since(start).Round(time.Millisecond), stranger.sent("dequeue_and_claim"))
	require.LessOrEqual(t, stranger.sent("dequeue_and_claim"), n/64+50, "64 are set aside at a time")
	require.Equal(t, n, l.size("aside:work@1"))
	require.Zero(t, l.doorbells("retry"))
	require.Equal(t, refcache.Pending, l.info(unknown[0]).Status)

	able := l.clockless()
	able.setClock(false)
	start = time.Now()
	l.starts(able, labConcurrency, handles(l.work, fn.run))
	l.until("the first one runs", func() bool { return fn.total() > 0 })
	l.Logf("a worker starts: the first of them ran after %v", time.Since(start).Round(time.Millisecond))
	l.until("all have run", func() bool { return fn.total() >= n && l.size("pending") == 0 })
	l.Logf("all had run after %v", time.Since(start).Round(time.Millisecond))
	require.Equal(t, n, fn.total())
	require.Zero(t, l.size("aside"))
	require.Zero(t, l.size("aside:work@1"))
	l.silent()
	info := l.info(unknown[0])
	require.Equal(t, []int{1, 0, 0}, []int{info.Attempt, info.LostCount, info.EventsTotal})
}

// total is how often the function has run.
func (c *counted) total() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, runs := range c.runs {
		n += runs
	}
	return n
}
