package admin_test

import (
	"context"
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestATaskIsReadWithAllThatIsKeptOfIt(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, worker.Permanent(kit.ErrDown), nil}}
		w.Work(s.Of(kit.Echo))
		ref := w.Submit(kit.Echo, "hi")
		w.Until(ref, refcache.Failed)
		failed, err := w.A.Task(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, w.Info(ref), failed.TaskInfo)
		require.Len(w, failed.RetryHistory, 2)
		require.Equal(w, `"hi"`, string(failed.Args))
		require.Nil(w, failed.Result)
		require.Nil(w, failed.ETA)
		require.Equal(w, string(ref), failed.Doorbell)
		require.Equal(w, time.Now().Truncate(time.Millisecond), failed.ReadAt)

		_, err = w.A.Retry(w.Context(), ref)
		require.NoError(w, err)
		_, err = w.P.Wait(w.Context(), ref)
		require.NoError(w, err)
		done, err := w.A.Task(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, w.Info(ref), done.TaskInfo)
		require.Len(w, done.Events, 1)
		require.Equal(w, `"hi!"`, string(done.Result))
		require.Equal(w, string(ref)+".2", done.Doorbell, "the retry had a new doorbell")
	})
}

func TestATaskThatRunsTellsHowLongItMayStillTake(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Work(func(wk *worker.Worker) {
			worker.Handle(wk, kit.Echo, func(ctx context.Context, in string) (string, error) {
				time.Sleep(time.Second)
				worker.ReportProgress(ctx, 1, 4, "")
				time.Sleep(3 * time.Second)
				return in, nil
			})
		})
		ref := w.Submit(kit.Echo, "hi")
		time.Sleep(2 * time.Second)
		task, err := w.A.Task(w.Context(), ref)
		require.NoError(w, err)
		require.NotNil(w, task.ETA)
		require.InDelta(w, 6*time.Second, *task.ETA, float64(time.Second), "a quarter in 2 s")
		_, err = w.P.Wait(w.Context(), ref)
		require.NoError(w, err)
	})
}

func TestATaskThatIsNotThereOrDamagedIsAnError(t *testing.T) {
	inOffice(t, func(w *office) {
		_, err := w.A.Task(w.Context(), unknown)
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)
		_, err = w.A.Task(w.Context(), "no ref")
		require.ErrorIs(w, err, refcache.ErrInvalidRef)
		ref := w.Submit(kit.Echo, "hi")
		record := "refq:{default}:t:" + ref.Hash()
		for field, text := range map[string]string{"created_at": "x", "hist_n": "-1"} {
			before, err := storetest.Read(w.Context(), w.Redis, record)
			require.NoError(w, err)
			require.NoError(w, storetest.Set(w.Context(), w.Redis, record, field, text))
			_, err = w.A.Task(w.Context(), ref)
			require.ErrorIs(w, err, refcache.ErrUnreadable)
			require.NoError(w, storetest.Set(w.Context(), w.Redis, record, field, before[field]))
		}
		require.NoError(w, storetest.Set(w.Context(), w.Redis, record, "hist_n", 1, "attempt:1", "{"))
		_, err = w.A.Task(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrUnreadable)
	})
}

func TestAPageTellsOfHowManyTasksItIs(t *testing.T) {
	inOffice(t, func(w *office) {
		held := kit.Script{Hold: make(chan struct{})}
		slow := refcache.Func[string, string]{Name: "slow", Queue: "media"}
		w.Work(held.Of(slow))
		w.Until(w.Submit(slow, "runs"), refcache.Processing)
		for n := range 5 {
			w.Submit(kit.Echo, string(rune('a'+n)))
		}
		require.NoError(w, w.A.Cancel(w.Context(), w.Submit(kit.Echo, "cancelled")))
		time.Sleep(2 * time.Minute)
		w.Submit(kit.Echo, "late")
		for _, c := range []struct {
			filter admin.Filter
			want   int
		}{
			{admin.Filter{}, 8},
			{admin.Filter{Func: "slow"}, 8},
			{admin.Filter{Status: refcache.Pending}, 6},
			{admin.Filter{Status: refcache.Processing}, 1},
			{admin.Filter{Status: refcache.Failed}, 0},
			{admin.Filter{Queue: "media"}, 1},
			{admin.Filter{Status: refcache.Pending, Since: time.Minute}, 1},
		} {
			for _, n := range []int{1, 100} {
				page, err := w.A.Page(w.Context(), c.filter, "", n)
				require.NoError(w, err)
				require.Equal(w, c.want, page.Total, "%+v", c.filter)
			}
		}
	})
}

// A page of a list whose index is broken must not pretend that there is nothing.
func TestAPageOfABrokenIndexIsAnError(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Submit(kit.Echo, "x")
		require.NoError(w, w.Redis.Set(w.Context(), "refq:{default}:failed", "", redis.KeepTTL).Err())
		_, err := w.A.Page(w.Context(), admin.Filter{}, "", 1)
		require.Error(w, err)
	})
}
