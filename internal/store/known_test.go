package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// works has a worker beat that knows some functions.
func (q *queue) works(worker, functions string) {
	q.Helper()
	about := fmt.Sprintf(`{"host":"h","functions":[%s],"reads":2}`, functions)
	_, err := q.Heartbeat(q.Context(), q.name, store.Beat{Worker: worker, About: about})
	require.NoError(q, err)
	q.keepAlive(worker)
}

func (q *queue) knows(name string) []string {
	all := q.rdb.SMembers(q.Context(), q.key("knows:"+name)).Val()
	slices.Sort(all)
	return all
}

func TestBeatsTellWhoKnowsWhat(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.works("w1", `"a@1","b/c.d@2"`)
		q.works("w2", `"a@1"`)
		require.Equal(q, []string{"w1", "w2"}, q.knows("a@1"))
		require.Equal(q, []string{"w1"}, q.knows("b/c.d@2"))
		require.Equal(q, []string{"w1", "w2"}, q.knows("v2"))

		q.rdb.Del(q.Context(), q.key("knows:a@1"))
		q.works("w1", `"a@1","b/c.d@2"`)
		require.Empty(q, q.knows("a@1"), "what is on record is not written again")
		q.rdb.Del(q.Context(), q.key("worker:w1")) // as a flush does
		q.works("w1", `"a@1","b/c.d@2"`)
		require.Equal(q, []string{"w1"}, q.knows("a@1"))

		q.rdb.SAdd(q.Context(), q.key("idle"), "w1")
		require.NoError(q, q.RemoveWorker(q.Context(), q.name, "w1", "w1"))
		require.Empty(q, q.knows("b/c.d@2"))
		require.Equal(q, []string{"w2"}, q.knows("v2"))
		require.Empty(q, q.rdb.SMembers(q.Context(), q.key("idle")).Val())
	})
}

func TestReadTellsWhatIsUnserved(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.old(q.pending(), 2*time.Second)
		require.Equal(q, "no living worker serves queue "+q.name, q.read(k.ref).HeldUp.String())
		info := q.info(k.ref)
		require.Equal(q, refcache.UnservedQueue, info.Unserved)
		require.Equal(q, "no living worker serves queue "+q.name, info.Note)

		q.works("w1", `"z@1","b@3"`)
		q.works("w2", `"a@1"`)
		want := "no living worker knows f@1; workers of queue " + q.name + " know a@1, b@3, z@1"
		require.Equal(q, want, q.read(k.ref).HeldUp.String())
		r, _, err := q.Result(q.Context(), k.ref, "")
		require.NoError(q, err)
		require.Equal(q, want, r.HeldUp.String())
		whole, err := q.Whole(q.Context(), k.ref)
		require.NoError(q, err)
		require.Equal(q, want, whole.Info.Note)
		require.Equal(q, `{"n":1}`, string(whole.Args))
		page, err := q.ReadAll(q.Context(), []store.Entry{{Ref: k.ref}, {Ref: q.pending().ref}})
		require.NoError(q, err)
		require.Equal(q, want, page[0].HeldUp.String())
		require.Zero(q, page[1].HeldUp, "it has just begun to wait")

		q.works("w3", `"c@1","d@1","e@1","g@1"`)
		require.Equal(q, "no living worker knows f@1; workers of queue "+q.name+" know a@1, b@3, c@1, d@1, e@1 and 2 more", q.read(k.ref).HeldUp.String())

		q.works("w4", `"f@1"`)
		require.Zero(q, q.read(k.ref).HeldUp)
		q.rdb.Del(q.Context(), q.key("knows:f@1"))
		require.Zero(q, q.read(k.ref).HeldUp, "an older worker does not write what it knows down apart")
		q.silence("w4", time.Hour)
		require.Equal(q, refcache.UnservedFunction, q.read(k.ref).HeldUp.Lacks)
		q.beat("w5")
		q.keepAlive("w5")
		require.Zero(q, q.read(k.ref).HeldUp, "w5 has not told yet what it knows")
	})
}

func TestOnlyWhatCouldRunIsUnserved(t *testing.T) {
	onBoth(t, func(q *queue) {
		for name, k := range map[string]task{
			"begun just now": q.pending(), "a retry that is not due": q.retrying(time.Hour), "running": q.processing(),
			"complete": q.complete(), "failed": q.failed(), "cancelled": q.cancelled(),
		} {
			require.Zero(q, q.read(k.ref).HeldUp, name)
		}
		late := q.retrying(0)
		q.due(late.ref, 2*time.Second)
		q.silence("w1", time.Hour)
		require.Equal(q, refcache.UnservedQueue, q.read(late.ref).HeldUp.Lacks)
	})
}

func TestWhoWaitsForATurnIsToldThatNobodyRunsIt(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.gate("g", store.GateNumbers{Each: 1})
		q.inLine("g", "a")
		k := q.inLine("g", "a")
		q.silence("w1", time.Hour)
		require.Zero(q, q.read(k.ref).HeldUp, "it has just begun to wait")
		q.waited(k, 2*time.Second)
		told := func() (note string, lacks refcache.Unserved) {
			info := q.info(k.ref)
			require.Equal(q, 1, info.Turn.Position)
			page, err := q.ReadAll(q.Context(), []store.Entry{{Ref: k.ref}})
			require.NoError(q, err)
			require.Equal(q, info.Unserved, page[0].HeldUp.Lacks)
			_, keys, _, err := q.Gate(q.Context(), q.name, "g", nil, 9)
			require.NoError(q, err)
			require.Equal(q, info.Unserved, keys[0].Unserved)
			if keys[0].Message != "" {
				require.Equal(q, info.Note, keys[0].Message)
				require.Equal(q, info.Note, page[0].HeldUp.String())
			}
			return info.Note, info.Unserved
		}
		note, lacks := told()
		require.Equal(q, "no living worker serves queue "+q.name, note)
		require.Equal(q, refcache.UnservedQueue, lacks)

		q.works("w2", `"g@1"`)
		note, lacks = told()
		require.Equal(q, "no living worker knows f@1; workers of queue "+q.name+" know g@1", note)
		require.Equal(q, refcache.UnservedFunction, lacks)

		noted := q.pause(refcache.Pause{Func: "f", By: "ann"}, 0)
		note, lacks = told()
		require.Equal(q, noted.String(), note)
		require.Empty(q, lacks)
		of, _, err := q.PauseGate(q.Context(), q.name, refcache.Pause{Gate: "g", By: "bob"}, 0)
		require.NoError(q, err)
		require.Equal(q, of.String(), q.info(k.ref).Note, "what holds it up first")
		require.True(q, q.resume(refcache.Pause{Func: "f"}))
		require.Equal(q, of.String(), q.info(k.ref).Note, "in place of who lacks")
		require.Empty(q, q.info(k.ref).Unserved)
		_, _, err = q.ResumeGate(q.Context(), q.name, refcache.Pause{Gate: "g"})
		require.NoError(q, err)

		q.works("w3", `"f@1"`)
		note, lacks = told()
		require.Equal(q, "waits for its turn: 1st of key a, 1 of 1 running", note)
		require.Empty(q, lacks)
	})
}

func TestOfVeryManyWorkersNotAllAreAsked(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.old(q.pending(), 2*time.Second)
		for n := range 101 {
			q.works(fmt.Sprint("w", n), `"a@1"`)
		}
		require.Zero(q, q.read(k.ref).HeldUp)
	})
}

// settable is a list whose dequeue hands out a doorbell that can be set aside.
func (q *queue) settable(ref refcache.Ref) store.Doorbells {
	return store.Doorbells{SetAside: "return redis.call('LPUSH', list, id) - 1", Dequeue: script.Piggyback{
		Text: "local id = redis.call('RPOP', 'bells') return id and {ARGV[1], KEYS[1], id}",
		Use:  script.Use{Keys: []string{string(ref)}, Args: []any{"message"}}}}
}

func TestADoorbellIsSetAsideUnderWhatItsTakerLacks(t *testing.T) {
	soonDue := func(q *queue) task {
		k := q.retrying(0)
		q.due(k.ref, time.Second)
		return k
	}
	for name, c := range map[string]struct {
		prepare func(q *queue) task
		knows   []string
		aside   string // empty: it is not
	}{
		"pending":             {(*queue).pending, []string{"g@1"}, "f@1"},
		"pending, known":      {(*queue).pending, []string{"g@1", "f@1"}, ""},
		"another version":     {(*queue).pending, []string{"f@2", "f@11"}, "f@1"},
		"due":                 {soonDue, []string{"g@1"}, "f@1"},
		"due, known":          {soonDue, []string{"f@1"}, ""},
		"not due":             {func(q *queue) task { return q.retrying(time.Hour) }, nil, ""},
		"running":             {(*queue).processing, nil, ""},
		"complete":            {(*queue).complete, nil, ""},
		"refreshed":           {func(q *queue) task { return q.refresh(q.complete()) }, nil, "f@1"},
		"of a newer version":  {func(q *queue) task { return q.newer("4", "pending") }, []string{"f@1"}, "v4"},
		"of a newer kind":     {func(q *queue) task { return q.newer("12", "dreaming") }, []string{"f@1"}, ""},
		"newer, and complete": {func(q *queue) task { return q.newer("4", "complete") }, []string{"f@1"}, ""},
		"without a policy":    {func(q *queue) task { k := q.pending(); q.rdb.HDel(q.Context(), q.record(k.ref), "policy"); return k }, nil, ""},
		"without a record":    {func(q *queue) task { k := q.pending(); q.rdb.Del(q.Context(), q.record(k.ref)); return k }, nil, ""},
		"with something in place of it": {func(q *queue) task {
			k := q.pending()
			q.rdb.Del(q.Context(), q.record(k.ref))
			q.rdb.Set(q.Context(), q.record(k.ref), "x", 0)
			return k
		}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(q *queue) {
				k := c.prepare(q)
				from := q.settable(k.ref)
				bells := q.key("bells")
				from.Dequeue.Text = fmt.Sprintf("local id = redis.call('RPOP', %q) return id and {ARGV[1], KEYS[1], id}", bells)
				q.rdb.LPush(q.Context(), bells, "the id")
				taken, err := q.DequeueAndClaim(q.Context(), q.name, "t9", "w9", store.NewKnown(c.knows), from)
				require.NoError(q, err)
				require.False(q, taken.More)
				if c.aside == "" {
					require.Equal(q, "message", taken.Message)
					require.Zero(q, q.rdb.Exists(q.Context(), q.key("aside")).Val())
					return
				}
				require.Nil(q, taken.Message)
				require.Equal(q, []string{c.aside}, q.rdb.SMembers(q.Context(), q.key("aside")).Val())
				require.Equal(q, []string{"the id"}, q.rdb.LRange(q.Context(), q.key("aside:"+c.aside), 0, -1).Val())
			})
		})
	}
}

// newer writes a record of a version and with a status.
func (q *queue) newer(version, status string) task {
	k := q.pending()
	q.set(k.ref, "v", version, "status", status)
	return k
}

func TestATakerAsksAgainAfterManyThatItSetAside(t *testing.T) {
	onBoth(t, func(q *queue) {
		k, bells := q.pending(), q.key("bells")
		for n := range 65 {
			q.rdb.LPush(q.Context(), bells, fmt.Sprint("id", n))
		}
		from := q.settable(k.ref)
		from.Dequeue.Text = fmt.Sprintf("local id = redis.call('RPOP', %q) return id and {ARGV[1], KEYS[1], id}", bells)
		for _, more := range []bool{true, false} {
			taken, err := q.DequeueAndClaim(q.Context(), q.name, "t9", "w9", nothing, from)
			require.NoError(q, err)
			require.Equal(q, store.Dequeued{More: more}, taken)
		}
		require.EqualValues(q, 65, q.rdb.LLen(q.Context(), q.key("aside:f@1")).Val())
	})
}

func TestWhoKnowsIsAskedInOneGo(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.rdb.SAdd(q.Context(), q.key("aside"), "f@1", "g@1", "v2")
		names, err := q.Aside(q.Context(), q.name, store.NewKnown([]string{"e@1", "f@1"}))
		require.NoError(q, err)
		require.Equal(q, []string{"v2", "f@1"}, names)
	})
}

func TestWhoIsGoneIsForgottenByName(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.old(q.pending(), 2*time.Second)
		q.works("w1", `"f@1"`)
		q.rdb.ZRem(q.Context(), q.key("workers"), "w1") // as an older refq removes a worker
		q.rdb.Del(q.Context(), q.key("worker:w1"))
		q.works("w2", `"g@1"`)
		require.Equal(q, refcache.UnservedFunction, q.read(k.ref).HeldUp.Lacks)
		require.Empty(q, q.knows("f@1"))
	})
}
