package admin_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestATaskIsReadWithAllThatIsKeptOfIt(t *testing.T) {
	inWorld(t, func(w *world) {
		s := script{errs: []error{errDown, worker.Permanent(errDown), nil}}
		w.start(s.of(echo))
		ref := w.submit(echo, "hi")
		w.until(ref, refcache.Failed)
		failed, err := w.a.Task(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, w.info(ref), failed.TaskInfo)
		require.Len(w, failed.RetryHistory, 2)
		require.Equal(w, `"hi"`, string(failed.Args))
		require.Nil(w, failed.Result)
		require.Nil(w, failed.ETA)
		require.Equal(w, string(ref), failed.Doorbell)
		require.Equal(w, time.Now().Truncate(time.Millisecond), failed.ReadAt)

		_, err = w.a.Retry(w.Context(), ref)
		require.NoError(w, err)
		_, err = w.p.Wait(w.Context(), ref)
		require.NoError(w, err)
		done, err := w.a.Task(w.Context(), ref)
		require.NoError(w, err)
		require.Equal(w, w.info(ref), done.TaskInfo)
		require.Len(w, done.Events, 1)
		require.Equal(w, `"hi!"`, string(done.Result))
		require.Equal(w, string(ref)+".2", done.Doorbell, "the retry had a new doorbell")
	})
}

func TestATaskThatRunsTellsHowLongItMayStillTake(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start(func(wk *worker.Worker) {
			worker.Handle(wk, echo, func(ctx context.Context, in string) (string, error) {
				time.Sleep(time.Second)
				worker.ReportProgress(ctx, 1, 4, "")
				time.Sleep(3 * time.Second)
				return in, nil
			})
		})
		ref := w.submit(echo, "hi")
		time.Sleep(2 * time.Second)
		task, err := w.a.Task(w.Context(), ref)
		require.NoError(w, err)
		require.NotNil(w, task.ETA)
		require.InDelta(w, 6*time.Second, *task.ETA, float64(time.Second), "a quarter in 2 s")
		_, err = w.p.Wait(w.Context(), ref)
		require.NoError(w, err)
	})
}

func TestATaskThatIsNotThereOrDamagedIsAnError(t *testing.T) {
	inWorld(t, func(w *world) {
		_, err := w.a.Task(w.Context(), unknown)
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)
		_, err = w.a.Task(w.Context(), "no ref")
		require.ErrorIs(w, err, refcache.ErrInvalidRef)
		ref := w.submit(echo, "hi")
		record := "refq:{default}:t:" + ref.Hash()
		for field, text := range map[string]string{"created_at": "x", "hist_n": "-1"} {
			before, err := storetest.Read(w.Context(), w.rdb, record)
			require.NoError(w, err)
			require.NoError(w, storetest.Set(w.Context(), w.rdb, record, field, text))
			_, err = w.a.Task(w.Context(), ref)
			require.ErrorIs(w, err, refcache.ErrUnreadable)
			require.NoError(w, storetest.Set(w.Context(), w.rdb, record, field, before[field]))
		}
		require.NoError(w, storetest.Set(w.Context(), w.rdb, record, "hist_n", 1, "attempt:1", "{"))
		_, err = w.a.Task(w.Context(), ref)
		require.ErrorIs(w, err, refcache.ErrUnreadable)
	})
}

func TestAPageTellsOfHowManyTasksItIs(t *testing.T) {
	inWorld(t, func(w *world) {
		held := script{hold: make(chan struct{})}
		slow := refcache.Func[string, string]{Name: "slow", Queue: "media"}
		w.start(held.of(slow))
		w.until(w.submit(slow, "runs"), refcache.Processing)
		for n := range 5 {
			w.submit(echo, string(rune('a'+n)))
		}
		require.NoError(w, w.a.Cancel(w.Context(), w.submit(echo, "cancelled")))
		time.Sleep(2 * time.Minute)
		w.submit(echo, "late")
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
				page, err := w.a.Page(w.Context(), c.filter, "", n)
				require.NoError(w, err)
				require.Equal(w, c.want, page.Total, "%+v", c.filter)
			}
		}
	})
}

// A page of a list whose index is broken must not pretend that there is nothing.
func TestAPageOfABrokenIndexIsAnError(t *testing.T) {
	inWorld(t, func(w *world) {
		w.submit(echo, "x")
		require.NoError(w, w.rdb.Set(w.Context(), "refq:{default}:failed", "", redis.KeepTTL).Err())
		_, err := w.a.Page(w.Context(), admin.Filter{}, "", 1)
		require.Error(w, err)
	})
}
