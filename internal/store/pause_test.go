package store_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// flagged has the queue paused by a key, as who keeps the doorbells has one.
func (q *queue) flagged() (flag string) {
	q.FlagBy(func(queue string) string { return "bells:{" + queue + "}:held" })
	return "bells:{" + q.name + "}:held"
}

func (q *queue) pause(p refcache.Pause, limit time.Duration) refcache.Pause {
	q.Helper()
	noted, err := q.Pause(q.Context(), q.name, p, limit)
	require.NoError(q, err)
	return noted
}

func (q *queue) resume(p refcache.Pause) (was bool) {
	q.Helper()
	was, err := q.Resume(q.Context(), q.name, p)
	require.NoError(q, err)
	return was
}

func (q *queue) pauses() []refcache.Pause {
	q.Helper()
	found, err := q.Pauses(q.Context(), q.name)
	require.NoError(q, err)
	return found
}

// whole is the pause of the whole queue.
func (q *queue) whole() refcache.Pause {
	return refcache.Pause{Queue: q.name, By: "ann", Reason: "release, \"2.0\""}
}

func TestAQueueIsPausedByAFlagAndANote(t *testing.T) {
	onBoth(t, func(q *queue) {
		flag := q.flagged()
		require.Empty(q, q.pauses())
		noted := q.pause(q.whole(), time.Hour)
		require.Equal(q, time.Hour, noted.Until.Sub(*noted.At))
		require.WithinDuration(q, q.now(), *noted.At, soon)
		require.Equal(q, "ann", noted.By)
		require.Equal(q, []refcache.Pause{noted}, q.pauses())
		require.Equal(q, strconv.FormatInt(noted.At.Unix(), 10), q.rdb.Get(q.Context(), flag).Val())
		require.EqualValues(q, -1, q.rdb.PTTL(q.Context(), flag).Val())

		again := q.pause(refcache.Pause{Queue: q.name, By: "bob"}, 0)
		require.Nil(q, again.Until)
		require.Equal(q, []refcache.Pause{again}, q.pauses())

		require.True(q, q.resume(q.whole()))
		require.False(q, q.resume(q.whole()), "a resend finds nothing to do")
		require.Empty(q, q.pauses())
		require.Zero(q, q.rdb.Exists(q.Context(), flag, q.key("paused")).Val())
	})
}

func TestAFlagOfSomebodyElseCountsWithoutWho(t *testing.T) {
	onBoth(t, func(q *queue) {
		flag := q.flagged()
		q.pause(q.whole(), time.Hour)
		q.rdb.Del(q.Context(), flag) // somebody else resumes
		require.Empty(q, q.pauses(), "what is left of the note says nothing")
		q.rdb.Set(q.Context(), flag, "1700000000", 0) // and pauses
		require.Equal(q, []refcache.Pause{{Queue: q.name, At: new(time.Unix(1700000000, 0))}}, q.pauses())
		q.rdb.Set(q.Context(), flag, "yes", 0)
		require.Equal(q, []refcache.Pause{{Queue: q.name}}, q.pauses())
		q.sweep(10)
		require.Zero(q, q.rdb.Exists(q.Context(), q.key("paused")).Val(), "a sweep drops the note")
		require.EqualValues(q, 1, q.rdb.Exists(q.Context(), flag).Val())

		noted := q.pause(q.whole(), 0)
		require.Equal(q, "yes", q.rdb.Get(q.Context(), flag).Val())
		require.Equal(q, []refcache.Pause{noted}, q.pauses(), "who pauses what is paused is who did")
		require.True(q, q.resume(q.whole()))
		require.Empty(q, q.pauses())
	})
}

// over writes that a pause has ended a second ago.
func (q *queue) over(field string) {
	q.Helper()
	note := q.rdb.HGet(q.Context(), q.key("paused"), field).Val()
	require.NotEmpty(q, note)
	q.rdb.HSet(q.Context(), q.key("paused"), field, fmt.Sprintf(`%s,"until":%s}`, note[:len(note)-1], q.ago(time.Second)))
}

func TestASweepEndsPausesOnTime(t *testing.T) {
	onBoth(t, func(q *queue) {
		flag := q.flagged()
		q.keepAlive("w1")
		q.pause(q.whole(), 0)
		q.pause(refcache.Pause{Func: "f"}, 0)
		q.pause(refcache.Pause{Func: "g@2"}, time.Hour)
		q.sweep(10)
		require.Len(q, q.pauses(), 3)
		q.over("queue")
		q.over("f:f")
		require.Len(q, q.pauses(), 1, "what is over is not told")
		told := q.hear(store.WakeChannel(q.name, "w1"))
		q.sweep(10)
		require.Zero(q, q.rdb.Exists(q.Context(), flag).Val())
		require.Equal(q, []string{"f:g@2"}, q.rdb.HKeys(q.Context(), q.key("paused")).Val())
		message, err := told.ReceiveTimeout(q.Context(), time.Minute)
		require.NoError(q, err)
		require.Equal(q, q.name+" paused", message.(*redis.Message).Payload)
	})
}

// The flag is of a later pause than the note.
func TestASweepDoesNotEndThePauseOfSomebodyElse(t *testing.T) {
	onBoth(t, func(q *queue) {
		flag := q.flagged()
		q.pause(q.whole(), time.Hour)
		q.over("queue")
		q.rdb.Set(q.Context(), flag, "17", 0)
		q.sweep(10)
		require.EqualValues(q, 1, q.rdb.Exists(q.Context(), flag).Val())
		require.Zero(q, q.rdb.Exists(q.Context(), q.key("paused")).Val())
	})
}

func TestReadTellsWhatIsPaused(t *testing.T) {
	onBoth(t, func(q *queue) {
		q.flagged()
		k := q.old(q.pending(), 2*time.Second)
		young := q.old(q.pending(), -time.Hour)
		by := func(p refcache.Pause) refcache.Pause { p.By, p.Reason = "ann", "release"; return p }
		for name, p := range map[string]refcache.Pause{"queue " + q.name: {Queue: q.name}, "function f": {Func: "f"}, "function f@1": {Func: "f@1"}} {
			noted := q.pause(by(p), 0)
			want := fmt.Sprintf("%s is paused by ann since %s: release", name, noted.At.Local().Format("15:04"))
			r := q.read(k.ref)
			require.Equal(q, want, r.HeldUp.String())
			require.Equal(q, noted, *r.HeldUp.Paused)
			info := q.info(k.ref)
			require.Equal(q, want, info.Note)
			require.Equal(q, noted, *info.Paused)
			require.Empty(q, info.Unserved)
			whole, err := q.Whole(q.Context(), k.ref)
			require.NoError(q, err)
			require.Equal(q, noted, *whole.Info.Paused)
			result, _, err := q.Result(q.Context(), k.ref, "")
			require.NoError(q, err)
			require.Equal(q, noted, *result.HeldUp.Paused)
			page, err := q.ReadAll(q.Context(), []store.Entry{{Ref: k.ref}, {Ref: young.ref}})
			require.NoError(q, err)
			require.Equal(q, want, page[0].HeldUp.String())
			require.Zero(q, page[1].HeldUp, "it has just begun to wait")
			require.True(q, q.resume(p))
		}
		q.pause(refcache.Pause{Func: "f@2"}, 0)
		q.pause(refcache.Pause{Func: "g"}, 0)
		require.Nil(q, q.read(k.ref).HeldUp.Paused)
		require.Equal(q, refcache.UnservedQueue, q.read(k.ref).HeldUp.Lacks)
	})
}

func TestHeartbeatsTellWhatIsPaused(t *testing.T) {
	onBoth(t, func(q *queue) {
		beat := func() store.Beaten {
			beaten, err := q.Heartbeat(q.Context(), q.name, store.Beat{Worker: "w1", About: `{"functions":["f@1","f@2","g@1"]}`})
			require.NoError(q, err)
			return beaten
		}
		q.pause(refcache.Pause{Func: "f"}, 0)
		q.pause(refcache.Pause{Func: "g@2"}, 0)
		require.ElementsMatch(q, []string{"f:f", "f:g@2"}, beat().Paused)
		require.Empty(q, q.knows("f@1"))
		require.Empty(q, q.knows("f@2"))
		require.Equal(q, []string{"w1"}, q.knows("g@1"))
		require.False(q, beat().Aside)
		q.rdb.SAdd(q.Context(), q.key("aside"), "x@1")
		require.True(q, beat().Aside)
		q.resume(refcache.Pause{Func: "f"})
		q.resume(refcache.Pause{Func: "g@2"})
		require.Empty(q, beat().Paused)
		require.True(q, beat().Aside)

		require.NoError(q, q.Unlearn(q.Context(), q.name, "w1", []string{"g@1"}, []string{"f@1"}))
		require.Empty(q, q.knows("g@1"))
		require.Equal(q, []string{"w1"}, q.knows("f@1"))
	})
}

func TestAWorkerKnowsItsPausedFunctions(t *testing.T) {
	k := store.NewKnown([]string{"f@1", "f@2", "ff@1", "g@1"})
	require.Equal(t, []string{"f@1", "f@2"}, k.Paused([]string{"queue", "f:f", "f:x", "f:g@2"}))
	require.Equal(t, []string{"f@2", "g@1"}, k.Paused([]string{"f:f@2", "f:g@1", "f:v2"}))
	require.Empty(t, k.Paused(nil))
	require.Empty(t, store.PausedNames(nil))
	require.Equal(t, ",f@1,f@2,", store.PausedNames([]string{"f@1", "f@2"}))
}

func TestADoorbellOfAPausedFunctionIsSetAside(t *testing.T) {
	onBoth(t, func(q *queue) {
		due := q.retrying(0)
		q.due(due.ref, time.Second)
		bells := q.key("bells")
		for _, k := range []task{q.pending(), due} {
			for paused, isAside := range map[string]bool{"": false, ",g@1,": false, ",f@11,": false, ",f@1,": true, ",e@1,f@1,g@1,": true} {
				q.rdb.Del(q.Context(), q.key("aside:f@1"))
				from := q.settable(k.ref)
				from.Paused = paused
				from.Dequeue.Text = fmt.Sprintf("local id = redis.call('RPOP', %q) return id and {ARGV[1], KEYS[1], id}", bells)
				q.rdb.LPush(q.Context(), bells, "the id")
				before := q.hash(k.ref)
				if !isAside {
					q.rdb.HSet(q.Context(), q.record(k.ref), "note", "not plain") // so that nothing is claimed
					before = q.hash(k.ref)
				}
				taken, err := q.DequeueAndClaim(q.Context(), q.name, "t9", "w9", store.NewKnown([]string{"f@1", "g@1"}), from)
				require.NoError(q, err)
				require.Equal(q, isAside, taken.Message == nil, paused)
				require.EqualValues(q, isAside, q.rdb.Exists(q.Context(), q.key("aside:f@1")).Val() == 1)
				require.Equal(q, before, q.hash(k.ref))
			}
		}
	})
}

func TestNoCallOfAPausedFunctionIsClaimed(t *testing.T) {
	onBoth(t, func(q *queue) {
		due := q.retrying(0)
		q.due(due.ref, time.Second)
		for _, k := range []task{q.pending(), due} {
			before := q.dump()
			answer, err := q.ClaimUnsuspected(q.Context(), k.ref, "t9", "w9", ",f@1,")
			require.NoError(q, err)
			require.Equal(q, store.ClaimAnswer{Later: 5 * time.Second}, answer)
			require.Equal(q, before, q.dump())
			answer, err = q.ClaimUnsuspected(q.Context(), k.ref, "t9", "w9", ",g@1,")
			require.NoError(q, err)
			require.True(q, answer.Run)
		}
	})
}
