package producer_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// isRefresh reports whether a refresh ended so.
func isRefresh(err error) bool {
	failed, ok := errors.AsType[*refcache.TaskError](err)
	return ok && failed.Refresh
}

func TestMaxAgeTakesNoOlderResult(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		w.Work(s.Of(kit.Echo))
		call := func(options ...producer.CallOption) string {
			value, err := producer.Do(w.Context(), w.P, kit.Echo, "hi", options...)
			require.NoError(w, err)
			return value
		}
		require.Equal(w, "hi 1", call(producer.MaxAge(time.Nanosecond)))
		time.Sleep(10 * time.Second)
		require.Equal(w, "hi 1", call(producer.MaxAge(11*time.Second)))
		require.Equal(w, "hi 2", call(producer.MaxAge(9*time.Second)))
		require.Equal(w, "hi 2", call(producer.MaxAge(9*time.Second)))
		for _, d := range []time.Duration{0, -1} {
			_, err := producer.Submit(w.Context(), w.P, kit.Echo, "hi", producer.MaxAge(d))
			require.ErrorContains(w, err, "must be more than 0")
		}
	})
}

// The run in flight may have begun before what the caller wants to see.
func TestACallThatJoinsARunBegunTooEarlyCallsOnceMore(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true, Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		ref := w.Submit(kit.Echo, "hi")
		w.Until(ref, refcache.Processing)
		time.Sleep(10 * time.Second)
		values := make(chan string, 2)
		for _, d := range []time.Duration{5 * time.Second, 20 * time.Second} {
			go func() {
				value, err := producer.Do(w.Context(), w.P, kit.Echo, "hi", producer.MaxAge(d))
				require.NoError(w, err)
				values <- value
			}()
		}
		time.Sleep(time.Second)
		s.Hold <- struct{}{}
		require.Equal(w, "hi 1", <-values, "young enough for one of them")
		s.Hold <- struct{}{}
		require.Equal(w, "hi 2", <-values)
	})
}

func TestWhoNeedsANewerResultHearsThatThereIsNone(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{nil, kit.ErrDown, nil}}
		f := kit.Once(kit.Echo)
		w.Work(s.Of(f))
		_, err := w.Call(f, "hi")
		require.NoError(w, err)
		time.Sleep(10 * time.Second)
		for range 3 {
			res, err := w.Call(f, "hi", producer.MaxAge(5*time.Second))
			require.True(w, isRefresh(err))
			require.Equal(w, "hi!", res.Value)
		}
		require.EqualValues(w, 2, s.Runs.Load(), "the failure answers")
		time.Sleep(time.Minute)
		_, err = w.Call(f, "hi", producer.MaxAge(5*time.Second))
		require.NoError(w, err)
		require.EqualValues(w, 3, s.Runs.Load())
	})
}

func TestAThousandCallersOfAnOldResultStartOneRefresh(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		f := kit.Echo
		f.Fresh = time.Minute
		w.Work(s.Of(f))
		first, err := w.Call(f, "hi")
		require.NoError(w, err)
		time.Sleep(time.Minute)
		res, err := w.Call(f, "hi")
		require.NoError(w, err)
		require.False(w, res.Refreshing, "it is fresh")
		time.Sleep(time.Millisecond)
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				res, err := w.Call(f, "hi")
				require.NoError(w, err)
				require.True(w, res.IsComplete && (res.Refreshing || res.Value == "hi 2"))
			})
		}
		all.Wait()
		time.Sleep(time.Second)
		require.EqualValues(w, 2, s.Runs.Load())
		now, err := w.Call(f, "hi")
		require.NoError(w, err)
		require.Equal(w, []string{"hi 1", "hi 2"}, []string{first.Value, now.Value})
	})
}

// A service is down for an hour, and somebody calls each second.
func TestAFreshResultOutlivesAnOutageOfItsService(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{nil, kit.ErrDown}}
		f := kit.Echo
		f.Fresh, f.Retry = time.Minute, refcache.RetryPolicy{MaxRetries: 2, Delay: time.Second}
		w.Work(s.Of(f))
		for range 3600 {
			value, err := producer.Do(w.Context(), w.P, f, "hi")
			require.NoError(w, err)
			require.Equal(w, "hi!", value)
			time.Sleep(time.Second)
		}
		require.LessOrEqual(w, s.Runs.Load(), int32(61*(1+2)))
		require.Greater(w, s.Runs.Load(), int32(40*(1+2)), "it is asked again and again")
	})
}

func TestAnAnswerSaysHowOldItIsAndHowItCameAbout(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true, Errs: []error{nil, nil, kit.ErrDown, nil}}
		f := kit.Once(kit.Echo)
		f.Fresh = 10 * time.Second
		w.Work(s.Of(f))
		tell := func(options ...producer.CallOption) string {
			res, err := w.Call(f, "hi", options...)
			require.True(w, err == nil || isRefresh(err))
			return fmt.Sprintf("%s: %s, %v old, stale %t %s, refreshing %t", res.Value, res.Cache, res.Age.Truncate(time.Second),
				res.IsStale, res.StaleReason, res.Refreshing)
		}
		require.Equal(w, "hi 1: miss, 0s old, stale false , refreshing false", tell())
		time.Sleep(10 * time.Second)
		require.Equal(w, "hi 1: hit, 10s old, stale false , refreshing false", tell())
		time.Sleep(time.Second)
		require.Equal(w, "hi 1: stale, 11s old, stale true age, refreshing true", tell())
		time.Sleep(time.Second)
		require.Equal(w, "hi 2: hit, 1s old, stale false , refreshing false", tell())
		require.Equal(w, "hi 2: miss, 1s old, stale true error, refreshing false", tell(producer.Refresh()))
		require.Equal(w, "hi 2: stale, 1s old, stale true error, refreshing false", tell())
		time.Sleep(time.Minute)
		require.Equal(w, "hi 2: stale, 1m1s old, stale true age, refreshing true", tell())
		time.Sleep(time.Second)
		counts := w.P.Counts()[0].CallCounts
		require.Equal(w, []int64{2, 3, 0, 2}, []int64{counts.Hits, counts.Stale, counts.Joined, counts.Misses})
		require.EqualValues(w, 3, counts.Refreshes, "two of them by age")
		res, err := w.P.Get(w.Context(), w.Submit(f, "hi"))
		require.NoError(w, err)
		require.Empty(w, res.Cache)
		require.Less(w, *res.Age, 2*time.Second)
	})
}

func TestOnlyIfCachedReadsAndChangesNothing(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true, Errs: []error{nil, kit.ErrDown}}
		f := kit.Once(kit.Echo)
		f.Fresh = time.Minute
		w.Work(s.Of(f))
		only := producer.OnlyIfCached()
		_, err := w.Call(f, "hi", only)
		require.ErrorIs(w, err, refcache.ErrNotCached)
		_, err = producer.Submit(w.Context(), w.P, f, "hi", only)
		require.ErrorIs(w, err, refcache.ErrNotCached)
		require.Empty(w, w.Redis.Keys(w.Context(), "refq:{default}:task:*").Val())

		for _, in := range []string{"hi", "ho"} {
			_, err = w.Call(f, in)
			require.Equal(w, in == "ho", err != nil)
		}
		time.Sleep(time.Second)
		res, err := w.Call(f, "hi", only)
		require.NoError(w, err)
		require.Equal(w, "hi 1", res.Value)
		require.Equal(w, refcache.CacheHit, res.Cache)
		_, err = w.Call(f, "ho", only)
		require.Equal(w, refcache.Failed, kit.TaskError(w, err).Status, "it would be the answer of any call")

		time.Sleep(time.Minute)
		res, err = w.Call(f, "hi", only)
		require.NoError(w, err)
		require.Equal(w, refcache.StaleAge, res.StaleReason)
		require.False(w, res.Refreshing)
		_, err = w.Call(f, "hi", only, producer.MaxAge(time.Minute))
		require.ErrorIs(w, err, refcache.ErrNotCached, "older than asked")
		_, err = w.Call(f, "ho", only)
		require.ErrorIs(w, err, refcache.ErrNotCached, "the failure answers no longer")
		require.EqualValues(w, 2, s.Runs.Load())

		for i, res := range producer.CallMany(w.Context(), w.P, f, slices.Values([]string{"hi", "ho", "hu"}), only) {
			require.Equal(w, i > 0, errors.Is(res.Err, refcache.ErrNotCached))
		}
		for _, other := range []producer.CallOption{producer.Refresh(), producer.RetryFailed()} {
			_, err = w.Call(f, "hi", only, other)
			require.ErrorContains(w, err, "only_if_cached runs nothing")
		}
	})
}

// Many calls are answered like one, whether or not they wait.
func TestManyCallsThatNeedANewerResultHearThatThereIsNone(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{nil, worker.Permanent(kit.ErrDown)}}
		w.Work(s.Of(kit.Echo))
		_, err := w.Call(kit.Echo, "hi")
		require.NoError(w, err)
		time.Sleep(10 * time.Second)
		for _, patience := range []time.Duration{0, -1} {
			f := kit.Echo
			f.AsyncTimeout = patience
			for _, res := range producer.CallMany(w.Context(), w.P, f, slices.Values([]string{"hi"}), producer.MaxAge(5*time.Second)) {
				require.True(w, isRefresh(res.Err))
				require.Equal(w, "hi!", res.Value)
			}
		}
	})
}

// The age of a result counts on in memory, whatever the computer's clock does.
func TestTheLocalCacheServesWhatFitsTheTermsOfACall(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		f := kit.Echo
		f.Fresh = time.Minute
		w.Work(s.Of(f))
		p := w.keeper(producer.LocalCache{Entries: 10, Stale: time.Hour})
		call := func(options ...producer.CallOption) (res refcache.Response[string]) {
			var err error
			res, err = producer.Call(w.Context(), p, f, "hi", options...)
			require.NoError(w, err)
			return res
		}
		w.kept(p, f, "hi")
		time.Sleep(30 * time.Second)
		require.Zero(w, w.asks(func() {
			res := call(producer.MaxAge(31 * time.Second))
			require.Equal(w, refcache.CacheHit, res.Cache)
			require.GreaterOrEqual(w, *res.Age, 30*time.Second)
			res = call(producer.OnlyIfCached())
			require.Equal(w, "hi 1", res.Value)
		}))
		require.Equal(w, "hi 2", call(producer.MaxAge(29*time.Second)).Value)
		w.kept(p, f, "hi")
		time.Sleep(61 * time.Second)
		require.Equal(w, refcache.StaleAge, call().StaleReason)
	})
}

// The end of a run that began too early is seen just when there is no time left to call once more.
func TestManyCallsThatJoinARunBegunTooEarlyAtTheirDeadline(t *testing.T) {
	for n := range 20 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inOffice(t, func(w *office) {
				s := kit.Script{Numbered: true, Hold: make(chan struct{}, 8)}
				f := kit.Echo
				f.AsyncTimeout = 5 * time.Second
				w.Work(s.Of(f))
				ins := []string{"a", "b", "c", "d"}
				for _, in := range ins {
					w.Until(w.Submit(f, in), refcache.Processing)
				}
				time.Sleep(10 * time.Second)
				time.AfterFunc(5*time.Second, func() {
					for range ins {
						s.Hold <- struct{}{}
					}
				})
				for _, res := range producer.CallMany(w.Context(), w.P, f, slices.Values(ins), producer.MaxAge(5*time.Second)) {
					require.True(w, res.Err == nil && (res.IsAsync || res.IsComplete), "%v", res.Err)
				}
				for range ins {
					s.Hold <- struct{}{}
				}
				time.Sleep(time.Second)
			})
		})
	}
}
