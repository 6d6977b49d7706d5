package admin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// failures makes n failed calls of a function.
func (w *office) failures(f refcache.Func[string, string], n int) []refcache.Ref {
	w.Helper()
	var refs []refcache.Ref
	for i := range n {
		refs = append(refs, w.Submit(f, fmt.Sprint(i)))
	}
	for _, ref := range refs {
		w.Until(ref, refcache.Failed)
	}
	return refs
}

// retryAll retries what passes the filter and sorts what became of it.
func (w *office) retryAll(f admin.Filter, options ...admin.RetryOption) (accepted []refcache.Ref, refused map[refcache.Ref]error) {
	w.Helper()
	refused = map[refcache.Ref]error{}
	for r, err := range w.A.RetryAll(w.Context(), f, options...) {
		require.NoError(w, err)
		if r.Err == nil {
			require.True(w, r.Accepted())
			accepted = append(accepted, r.Task.RefID)
		} else {
			refused[r.Task.RefID] = r.Err
		}
	}
	return accepted, refused
}

func TestAllFailuresAreRetriedAtOnce(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown)}}
		w.Work(s.Of(kit.Echo))
		failed := w.failures(kit.Echo, 250) // on three pages
		s.Errs = nil
		accepted, refused := w.retryAll(admin.Filter{})
		require.Empty(w, refused)
		require.ElementsMatch(w, failed, accepted)
		for _, ref := range failed {
			info := w.Until(ref, refcache.Complete)
			require.Equal(w, []int{1, 2, 1}, []int{info.Cycle, info.Attempt, info.RetryCount})
			require.Equal(w, "ann@desk", info.Events[0].By)
		}
		accepted, refused = w.retryAll(admin.Filter{})
		require.Empty(w, accepted)
		require.Empty(w, refused)
	})
}

func TestRetryAllTellsOfThoseWithoutRetriesLeft(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown)}}
		bare := kit.Once(kit.Echo)
		bare.Name = "bare"
		w.Work(s.Of(kit.Echo), s.Of(bare))
		left, exhausted := w.failures(kit.Echo, 3), w.failures(bare, 20)
		s.Errs = nil
		accepted, refused := w.retryAll(admin.Filter{Status: refcache.Failed})
		require.ElementsMatch(w, left, accepted)
		require.Len(w, refused, 20)
		for _, ref := range exhausted {
			require.ErrorIs(w, refused[ref], refcache.ErrRetriesExhausted)
			require.EqualError(w, refused[ref], "retry "+string(ref)+": "+refcache.ErrRetriesExhausted.Error())
			require.Equal(w, refcache.Failed, w.Info(ref).Status)
		}
		accepted, refused = w.retryAll(admin.Filter{}, admin.FreshBudget())
		require.Empty(w, refused)
		require.ElementsMatch(w, exhausted, accepted)
		for _, ref := range exhausted {
			require.Equal(w, 2, w.Until(ref, refcache.Complete).Cycle)
		}
	})
}

func TestRetryAllTakesOnlyWhatPassesTheFilter(t *testing.T) {
	inOffice(t, func(w *office) {
		text := func(text string) *kit.Script { return &kit.Script{Errs: []error{worker.Permanent(errors.New(text))}} }
		media := refcache.Func[string, string]{Name: "thumbnail", Queue: "media"}
		w.Work(text("disk [full] on a7").Of(media), text("no route").Of(kit.Echo))
		old := w.failures(kit.Echo, 1)
		time.Sleep(time.Minute)
		recent, full := w.failures(kit.Echo, 2)[1:], w.failures(media, 1)

		require.ElementsMatch(w, append(slices.Clone(recent), full...), w.list(admin.Filter{Status: refcache.Failed, Since: 30 * time.Second}))
		require.Len(w, w.list(admin.Filter{Since: 2 * time.Minute}), 3)
		require.ElementsMatch(w, full, w.list(admin.Filter{Error: "k [full] o"}))
		require.Empty(w, w.list(admin.Filter{Error: "NO ROUTE"}))

		accepted, refused := w.retryAll(admin.Filter{Error: "full", Func: "thumbnail", Queue: "media", Since: 30 * time.Second})
		require.Empty(w, refused)
		require.Equal(w, full, accepted)
		accepted, _ = w.retryAll(admin.Filter{Error: "no route", Since: 30 * time.Second})
		require.Equal(w, recent, accepted)
		require.Empty(w, w.Info(old[0]).Events)
	})
}

func TestTaskThatFailsAgainMeanwhileIsNotRetriedTwice(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown)}}
		w.Work(s.Of(kit.Echo))
		failed := w.failures(kit.Echo, 110)
		var seen []refcache.Ref
		for r, err := range w.A.RetryAll(w.Context(), admin.Filter{}, admin.FreshBudget()) {
			require.NoError(w, err)
			require.NoError(w, r.Err)
			seen = append(seen, r.Task.RefID)
			if len(seen)%16 == 0 {
				for _, ref := range seen {
					w.Until(ref, refcache.Failed) // again
				}
			}
		}
		require.ElementsMatch(w, failed, seen)
		for _, ref := range failed {
			require.Equal(w, 1, w.Until(ref, refcache.Failed).EventsTotal)
		}
		require.EqualValues(w, 220, s.Runs.Load())
	})
}

// Its new end may come before the place that the walk has reached: in the same millisecond, or after Redis's clock has
// been set back.
func TestTaskThatIsMetAgainIsLeftAlone(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown)}}
		w.Work(s.Of(kit.Echo))
		failed := w.failures(kit.Echo, 110) // more than a page
		var seen []refcache.Ref
		for r, err := range w.A.RetryAll(w.Context(), admin.Filter{}, admin.FreshBudget()) {
			require.NoError(w, err)
			seen = append(seen, r.Task.RefID)
			if len(seen) == 16 {
				for _, ref := range seen {
					w.Until(ref, refcache.Failed)
					require.NoError(w, w.Redis.ZAdd(w.Context(), "refq:{default}:failed", redis.Z{Score: 1, Member: ref.Hash()}).Err())
				}
			}
		}
		require.ElementsMatch(w, failed, seen)
		for _, ref := range failed {
			require.Equal(w, 1, w.Until(ref, refcache.Failed).EventsTotal)
		}
	})
}

func TestRetryAllTellsWhoWasQuicker(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown)}}
		w.Work(s.Of(kit.Echo))
		failed := w.failures(kit.Echo, 40)
		rest := map[refcache.Ref]bool{}
		for _, ref := range failed {
			rest[ref] = true
		}
		others := 0
		refused := map[refcache.Ref]error{}
		for r, err := range w.A.RetryAll(w.Context(), admin.Filter{}) {
			require.NoError(w, err)
			delete(rest, r.Task.RefID)
			if r.Err != nil {
				refused[r.Task.RefID] = r.Err
			}
			if others > 0 || len(rest) > 24 {
				continue
			}
			for ref := range rest { // the walk has read them all by now
				if others++; others%2 == 0 {
					require.NoError(w, w.A.Delete(w.Context(), ref))
				} else {
					_, err := w.A.Retry(w.Context(), ref)
					require.NoError(w, err)
				}
			}
		}
		require.Len(w, refused, 24)
		gone, moved := 0, 0
		for _, err := range refused {
			if errors.Is(err, refcache.ErrTaskNotFound) {
				gone++
			} else {
				require.ErrorIs(w, err, refcache.ErrNotFailed)
				moved++
			}
		}
		require.Equal(w, []int{12, 12}, []int{gone, moved})
	})
}

func TestRetryAllGoesOnPastWhatCannotBeRead(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown)}}
		w.Work(s.Of(kit.Echo))
		failed := w.failures(kit.Echo, 5)
		key := func(ref refcache.Ref) string { return "refq:{default}:t:" + ref.Hash() }
		require.NoError(w, storetest.Set(w.Context(), w.Redis, key(failed[1]), "cycle", "x"))
		require.NoError(w, w.Redis.Del(w.Context(), key(failed[3])).Err())
		require.NoError(w, w.Redis.Set(w.Context(), key(failed[3]), "no hash", 0).Err())

		infos := map[refcache.Ref]refcache.TaskInfo{}
		for info, err := range w.A.List(w.Context(), admin.Filter{Func: "echo", Error: "down", Since: time.Hour}) {
			require.NoError(w, err)
			infos[info.RefID] = info
		}
		require.Len(w, infos, 5)
		require.Empty(w, infos[failed[0]].Unreadable)
		require.Equal(w, refcache.TaskInfo{RefID: failed[1], Func: "echo", Queue: "default", Status: refcache.Failed,
			LastError: kit.ErrDown.Error(), Unreadable: "record of " + string(failed[1]) + ` is damaged: cycle is "x", not a whole number; refq delete ` + string(failed[1]) + " removes it"},
			infos[failed[1]])
		require.Equal(w, refcache.TaskInfo{RefID: failed[3], Queue: "default", Status: refcache.Failed,
			Unreadable: "record of " + string(failed[3]) + " is damaged: its key holds no hash; refq delete " + string(failed[3]) + " removes it"}, infos[failed[3]])
		require.NotContains(w, w.list(admin.Filter{Func: "other"}), failed[1], "it is known not to be of that function")

		accepted, refused := w.retryAll(admin.Filter{})
		require.Len(w, accepted, 3)
		require.Len(w, refused, 2)
		for _, ref := range []refcache.Ref{failed[1], failed[3]} {
			require.ErrorIs(w, refused[ref], refcache.ErrUnreadable)
			require.ErrorContains(w, refused[ref], "retry "+string(ref)+": ")
		}
	})
}

func TestRetryAllQueuesWhatItCanAndTellsOfTheRest(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown)}}
		w.Work(s.Of(kit.Echo))
		failed := w.failures(kit.Echo, 20)
		s.Errs = nil
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if isEnqueue(cmd) {
				return "OOM command not allowed when used memory > 'maxmemory'."
			}
			return memredis.Pass
		})
		accepted, refused := w.retryAll(admin.Filter{})
		require.Empty(w, accepted)
		for _, ref := range failed {
			require.ErrorIs(w, refused[ref], refcache.ErrNotQueued)
			require.True(w, admin.Retried{Err: refused[ref]}.Accepted())
		}
		w.Server.SetFaults(nil)
		for _, ref := range failed {
			w.Until(ref, refcache.Complete)
		}
	})
}

// isRetry tells the retry script by its arguments.
func isRetry(cmd []string) bool {
	return strings.HasPrefix(cmd[0], "EVAL") && slices.Contains(cmd, "fresh") && slices.Contains(cmd, "ann@desk")
}

func TestRetryAllEndsWhenRedisDoesNotAnswer(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown)}}
		w.Work(s.Of(kit.Echo))
		failed := w.failures(kit.Echo, 40)
		var enough atomic.Bool
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if isRetry(cmd) && enough.Load() {
				return "ERR no more"
			}
			return memredis.Pass
		})
		accepted, unknown, ends := 0, 0, 0
		done := map[refcache.Ref]bool{}
		for r, err := range w.A.RetryAll(w.Context(), admin.Filter{}, admin.FreshBudget()) {
			switch {
			case err != nil:
				require.Zero(w, r)
				require.ErrorContains(w, err, "ERR no more")
				ends++
			case r.Accepted():
				accepted++
				done[r.Task.RefID] = true
				enough.Store(true)
			default:
				require.ErrorContains(w, r.Err, "retry "+string(r.Task.RefID)+": ERR no more")
				unknown++
			}
		}
		require.Equal(w, 1, ends)
		require.Equal(w, []int{16, 16}, []int{accepted, unknown}, "two batches, and no other was begun")
		w.Server.SetFaults(nil)
		again, _ := w.retryAll(admin.Filter{}, admin.FreshBudget())
		for _, ref := range failed {
			require.True(w, done[ref] || slices.Contains(again, ref), "the others are left to another time")
		}
	})
}

func TestRetryAllThatIsInterruptedTellsAllThatItDid(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown)}}
		w.Work(s.Of(kit.Echo))
		failed := w.failures(kit.Echo, 60)
		s.Errs = nil
		ctx, interrupt := context.WithCancelCause(w.Context())
		var second atomic.Bool
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if isRetry(cmd) && second.Load() {
				interrupt(errors.New("enough"))
			}
			return memredis.Pass
		})
		accepted, ends := map[refcache.Ref]bool{}, 0
		for r, err := range w.A.RetryAll(ctx, admin.Filter{}, admin.FreshBudget()) {
			if err != nil {
				require.EqualError(w, err, "retry failed tasks: enough")
				ends++
				continue
			}
			require.NoError(w, r.Err)
			accepted[r.Task.RefID] = true
			second.Store(true) // the first batch is over
		}
		require.Equal(w, 1, ends)
		require.Len(w, accepted, 32, "the batch at work is finished")
		for _, ref := range failed {
			if accepted[ref] {
				w.Until(ref, refcache.Complete)
			} else {
				require.Equal(w, refcache.Failed, w.Info(ref).Status)
			}
		}
	})
}

func TestCallerMayBreakOffRetryAll(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown)}}
		w.Work(s.Of(kit.Echo))
		w.failures(kit.Echo, 60)
		for range w.A.RetryAll(w.Context(), admin.Filter{}, admin.FreshBudget()) {
			break
		}
		time.Sleep(time.Minute)
		require.EqualValues(w, 76, s.Runs.Load(), "one batch, not more")
	})
}

func TestRetryAllRefusesFiltersThatMakeNoSense(t *testing.T) {
	inOffice(t, func(w *office) {
		for want, f := range map[string]admin.Filter{
			`retry failed tasks: status "complete": only failed tasks can be retried`: {Status: refcache.Complete},
			`list tasks: since -1s ago: must not be negative`:                         {Since: -time.Second},
			`queue "a/b"`: {Queue: "a/b"},
		} {
			n := 0
			for r, err := range w.A.RetryAll(w.Context(), f) {
				require.Zero(w, r)
				require.ErrorContains(w, err, want)
				n++
			}
			require.Equal(w, 1, n)
		}
	})
}
