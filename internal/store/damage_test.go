package store_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

// notWhole are texts that are no whole number to compute with, although Lua or Go may think so of some.
var notWhole = []string{"one", "1.5", "-1", "+1", " 1", "1\n", "1e3", "0x10", "nan", "inf", "1234567890123456",
	strings.Repeat("9", 400), "\xff\x00\x1b[31m", "１"}

var notDecimal = []string{"two", "-1", "1e3", "0x1p2", "NaN", "inf", ".5", "1.2.3", " 1", "1_0", "\xff"}

// damage is one way in which a record may be wrong.
type damage struct {
	field, text string // the text is written, or the field deleted if it is missing
	missing     bool
	status      refcache.Status
	complaint   string
}

// damages are all the ways that a record in each status may be wrong in one field.
func damages() []damage {
	var all []damage
	for _, field := range store.WordsOf("w") {
		for _, text := range notWhole {
			all = append(all, damage{field, text, false, refcache.Processing, field + ` is "`})
		}
	}
	for _, field := range store.WordsOf("d") {
		for _, text := range notDecimal {
			all = append(all, damage{field, text, false, refcache.Failed, field + ` is "`})
		}
	}
	for _, status := range refcache.Statuses {
		for _, field := range append([]string{"status", "func", "policy", "state"}, store.NeededFields[status]...) {
			if status == refcache.Processing && field == "args" {
				continue // see TestOutcomeOfACallWhoseArgumentsAreGoneIsKept
			}
			all = append(all, damage{field, "", true, status, field + " is missing"})
		}
		for _, text := range []string{"resting", "PENDING", "\x00"} {
			all = append(all, damage{"status", text, false, status, `status is "`})
		}
	}
	return all
}

func (d damage) String() string { return fmt.Sprintf("%s task, %s %.20q", d.status, d.field, d.text) }

// damaged makes a task whose record is wrong.
func (q *queue) damaged(d damage) task {
	q.Helper()
	k := map[refcache.Status]func() task{
		refcache.Waiting: func() task { return q.inLine("closed", "a") },
		refcache.Pending: q.pending, refcache.Processing: q.processing, refcache.Complete: q.complete, refcache.Failed: q.failed,
		refcache.Cancelled: q.cancelled, refcache.Retrying: func() task { return q.retrying(0) },
	}[d.status]()
	if d.missing {
		require.NoError(q, storetest.Remove(q.Context(), q.rdb, q.record(k.ref), d.field))
	} else {
		q.set(k.ref, d.field, d.text)
	}
	return k
}

// send sends every command about the task and returns what came of each.
func (q *queue) send(k task) map[string]error {
	ctx, c := q.Context(), q.submission()
	c.RetryFailed, c.Refresh = true, true
	_, _, cancelled := q.Cancel(ctx, k.seen, "ann")
	_, _, retried := q.Retry(ctx, k.seen, "r9", "ann", true)
	_, _, result := q.Result(ctx, k.ref, "")
	return map[string]error{
		"submit": second(q.Submit(ctx, k.ref, c)), "claim": second(q.Claim(ctx, k.ref, "t9", "w9")),
		"finish": second(q.Finish(ctx, k.ref, k.token, q.Completed(nil))), "read": second(q.Read(ctx, k.ref)),
		"info": second(q.Info(ctx, k.ref)), "new_delivery": second(q.NewDelivery(ctx, k.ref, k.seen.Delivery)),
		"delete": second(q.Delete(ctx, k.seen)), "cancel": cancelled, "retry": retried, "result": result,
	}
}

// A script that failed half way would leave half of a transition behind.
func TestNoCommandTouchesADamagedRecordAndEachNamesTheDamage(t *testing.T) {
	testkit.Long(t)
	onBoth(t, func(q *queue) {
		for _, d := range damages() {
			k := q.damaged(d)
			before := q.rdb.HGetAll(q.Context(), q.record(k.ref)).Val()
			listed := q.listedIn(k.ref)
			for command, err := range q.send(k) {
				if command == "submit" && d.status.InFlight() && d.field == "args" {
					require.NoError(q, err, "who joins does not read them, and will be told when waiting")
					continue
				}
				require.ErrorIs(q, err, store.ErrDamaged, "%s of %s", command, d)
				require.ErrorIs(q, err, refcache.ErrUnreadable)
				require.ErrorContains(q, err, fmt.Sprintf("record of %s is damaged: %s", k.ref, d.complaint), "%s of %s", command, d)
				require.ErrorContains(q, err, fmt.Sprintf("; refq delete %s removes it", k.ref))
				require.Less(q, len(err.Error()), 600)
			}
			require.Equal(q, before, q.rdb.HGetAll(q.Context(), q.record(k.ref)).Val(), d)
			require.Equal(q, listed, q.listedIn(k.ref), d)
			require.NoError(q, q.rdb.Del(q.Context(), q.record(k.ref)).Err())
		}
	})
}

func TestOutcomeOfACallWhoseArgumentsAreGoneIsKept(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing()
		q.rdb.HDel(q.Context(), q.record(k.ref), "args")
		_, err := q.Claim(q.Context(), k.ref, "t9", "w9")
		require.ErrorIs(q, err, store.ErrDamaged)
		require.True(q, q.finish(k.ref, k.token, q.Completed([]byte("1"))).Current)
	})
}

// listedIn are the lists in which a reader finds the task, and the workers whose claims name it.
func (q *queue) listedIn(ref refcache.Ref) []string {
	q.Helper()
	var names []string
	if slices.Contains(q.completed(100), ref) {
		names = append(names, string(refcache.Complete))
	}
	for _, s := range refcache.Statuses {
		if q.rdb.ZScore(q.Context(), q.index(s), ref.Hash()).Err() == nil {
			names = append(names, string(s))
		}
	}
	for _, worker := range []string{"w1", "w9"} {
		if q.rdb.HExists(q.Context(), q.claims(worker), ref.Hash()).Val() {
			names = append(names, worker)
		}
	}
	return names
}

func TestKeyOfAnotherTypeIsDamage(t *testing.T) {
	onBoth(t, func(q *queue) {
		for kind, put := range map[string]func(key string) error{
			"string": func(key string) error { return q.rdb.Set(q.Context(), key, "x", 0).Err() },
			"list":   func(key string) error { return q.rdb.RPush(q.Context(), key, "x").Err() },
			"set":    func(key string) error { return q.rdb.SAdd(q.Context(), key, "x").Err() },
		} {
			k := q.pending()
			q.rdb.Del(q.Context(), q.record(k.ref))
			require.NoError(q, put(q.record(k.ref)))
			for command, err := range q.send(k) {
				require.ErrorIs(q, err, store.ErrDamaged, command)
				require.ErrorContains(q, err, fmt.Sprintf("record of %s is damaged: its key holds no hash; refq delete", k.ref), command)
			}
			require.ErrorContains(q, second(q.Progress(q.Context(), k.ref, "t", refcache.Progress{})), fmt.Sprintf("report progress of %s: one of the keys refq:{%s}:* is not refq's: ", k.ref, q.name))
			require.Equal(q, kind, q.rdb.Type(q.Context(), q.record(k.ref)).Val())
			gone, err := q.DeleteDamaged(q.Context(), k.ref)
			require.NoError(q, err)
			require.True(q, gone)
			require.True(q, q.submit(k.ref, q.submission()).Starts)
		}
	})
}

// What the scripts trust readers must be able to read, or a claim would be lost; and the other way round.
func TestScriptsAndReadersAgreeOnWhatIsDamaged(t *testing.T) {
	testkit.Long(t)
	onBoth(t, func(q *queue) {
		texts := slices.Concat(notWhole, notDecimal, []string{"0", "1", "007", "123456789012345", "1.0", "0.1", "1.", "pending", "{", `{"c":"x"}`})
		for _, field := range slices.Concat(store.Fields, store.PackedWords()["state"], store.PackedWords()["policy"]) {
			for _, text := range append(texts, "", "f,,,,", ",pending,,") {
				k := q.retrying(0)
				q.set(k.ref, field, text)
				_, script := q.Read(q.Context(), k.ref)
				found, err := q.ReadAll(q.Context(), []store.Entry{{Ref: k.ref}})
				require.NoError(q, err)
				require.Len(q, found, 1)
				require.Equal(q, script == nil, found[0].Err == nil, "%s is %q: %v, %v", field, text, script, found[0].Err)
				require.NoError(q, q.rdb.Del(q.Context(), q.record(k.ref)).Err())
			}
		}
	})
}

func TestDamagedRecordIsDeletedWhole(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, status := range refcache.Statuses {
			for _, d := range []damage{{field: "status", missing: true, status: status}, {field: "hist_n", text: "x", status: status}} {
				k := q.damaged(d)
				gone, err := q.DeleteDamaged(q.Context(), k.ref)
				require.NoError(q, err)
				require.True(q, gone)
				_, err = q.Read(q.Context(), k.ref)
				require.ErrorIs(q, err, refcache.ErrTaskNotFound)
				taken, _ := q.redeliver(k, "w1") // as its worker does at the next beat
				require.False(q, taken)
				require.Empty(q, q.listedIn(k.ref), d)
				require.True(q, q.submit(k.ref, q.submission()).Starts)
				q.sound(k.ref)
			}
		}
	})
}

func TestSoundRecordIsNotDeletedAsDamaged(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, k := range []task{q.pending(), q.processing(), q.complete(), q.failed()} {
			before := q.dump()
			gone, err := q.DeleteDamaged(q.Context(), k.ref)
			require.NoError(q, err)
			require.False(q, gone)
			require.Equal(q, before, q.dump())
		}
		gone, err := q.DeleteDamaged(q.Context(), q.ref())
		require.NoError(q, err)
		require.True(q, gone, "there is none")
	})
}

// Else a dead worker would stay in the index for ever, and its other claims wait behind this one.
func TestClaimOnADamagedRecordIsForgottenOnceItsWorkerIsDead(t *testing.T) {
	onBoth(t, func(q *queue) {
		d := damage{field: "cycle", text: "one", status: refcache.Processing}
		k := q.damaged(d)
		taken, _, err := q.Redeliver(q.Context(), store.Claim{Ref: k.ref, Token: k.token}, "w1", "w2")
		require.NoError(q, err)
		require.False(q, taken)
		require.Contains(q, q.listedIn(k.ref), "w1", "it lives")

		before := q.hash(k.ref)
		q.silence("w1", store.DeadAfter+time.Second)
		_, _, err = q.Redeliver(q.Context(), store.Claim{Ref: k.ref, Token: k.token}, "w1", "w2")
		require.ErrorIs(q, err, store.ErrDamaged)
		require.Empty(q, q.listedIn(k.ref))
		require.Equal(q, before, q.hash(k.ref))
	})
}

func TestDamagedHistoryIsNamedByWhoReadsIt(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, field := range []string{"attempt:1", "event:1"} {
			k := q.end(q.start(q.retrying(0)), store.Released("", "w1"))
			for _, text := range []string{"{", "[]", `{"cycle":"x","at":"x"}`, "", "\xff"} {
				q.set(k.ref, field, text)
				_, err := q.Info(q.Context(), k.ref)
				require.ErrorIs(q, err, store.ErrDamaged)
				require.ErrorContains(q, err, fmt.Sprintf("record of %s is damaged: %s: ", k.ref, strings.TrimSuffix(field, ":1")))
				_, err = q.Read(q.Context(), k.ref)
				require.NoError(q, err)
			}
		}
	})
}

// A report is worth no more than the next one.
func TestUnreadableProgressIsShownAndHoldsNobodyUp(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.processing()
		for _, text := range []string{"{", `{"c":"x"}`, "\xff\x00", strings.Repeat("[", 10_000)} {
			q.set(k.ref, "progress", text)
			progress := q.read(k.ref).Progress
			require.Equal(q, fmt.Sprintf("unreadable report %.40q", text), progress.Message)
		}
		q.end(k, q.Completed([]byte("1")))
	})
}

func TestNewerRecordIsNotStartedAnew(t *testing.T) {
	onBoth(t, func(q *queue) {
		for _, k := range []task{q.cancelled(), q.failed(), q.complete()} {
			q.set(k.ref, "v", store.RecordVersion+1, "cycle", "written in another way")
			before := q.dump()
			c := q.submission()
			c.RetryFailed, c.Refresh = true, true
			_, err := q.Submit(q.Context(), k.ref, c)
			require.ErrorIs(q, err, refcache.ErrUnreadable)
			require.NotErrorIs(q, err, store.ErrDamaged)
			gone, err := q.DeleteDamaged(q.Context(), k.ref)
			require.NoError(q, err)
			require.False(q, gone)
			require.Equal(q, before, q.dump())
		}
	})
}

func TestOldResultThatCannotBeReadIsReplacedByARefresh(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.end(q.processing(), q.Completed(bytes.Repeat([]byte("a"), 2000)))
		q.set(k.ref, "result", "garbage")
		c := q.submission()
		c.Refresh = true
		s := q.submit(k.ref, c)
		require.True(q, s.Starts)
		require.Nil(q, s.Result)
		q.end(q.start(k), q.Completed([]byte("2")))
		_, result, err := q.Result(q.Context(), k.ref, "")
		require.NoError(q, err)
		require.Equal(q, "2", string(result))
	})
}
