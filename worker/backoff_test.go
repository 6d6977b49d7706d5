package worker_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

type backoffs = map[string]func(n int, err error) time.Duration

func TestNamedBackoffReplacesTheFormula(t *testing.T) {
	inHouse(t, func(w *house) {
		flaky := failing(3)
		var asked []int
		steps := func(n int, err error) time.Duration {
			require.ErrorIs(w, err, errDown)
			asked = append(asked, n)
			return time.Duration(3-n) * time.Second
		}
		w.Start(worker.Config{Backoffs: backoffs{"steps": steps}}, world.Handles(work, flaky.run))
		f := work
		f.Retry = refcache.RetryPolicy{Backoff: "steps", Jitter: -1}
		_, err := w.call(f, "in")
		require.NoError(w, err)
		require.Equal(w, []int{0, 1, 2}, asked)
		requireOnTime(w, []time.Duration{3 * time.Second, 2 * time.Second, time.Second}, flaky.gaps())
	})
}

// capAndJitter is a policy with the most jitter.
var capAndJitter = refcache.RetryPolicy{Backoff: "b", MaxDelay: 2 * time.Second, Jitter: 1}

func TestNamedBackoffIsCappedAndJittered(t *testing.T) {
	inHouse(t, func(w *house) {
		hourly := func(int, error) time.Duration { return time.Hour }
		w.Start(worker.Config{Backoffs: backoffs{"b": hourly}}, world.Handles(work, failing(3).run))
		f := work
		f.Retry = capAndJitter
		res, err := w.call(f, "in")
		require.NoError(w, err)
		jitter := time.Duration(0)
		for _, a := range w.info(res.RefID).RetryHistory {
			require.GreaterOrEqual(w, a.Delay, 2*time.Second)
			require.LessOrEqual(w, a.Delay, 4*time.Second)
			jitter += a.Delay - 2*time.Second
		}
		require.Positive(w, jitter)
	})
}

func TestNegativeBackoffIsNone(t *testing.T) {
	inHouse(t, func(w *house) {
		flaky := failing(1)
		back := func(int, error) time.Duration { return -time.Hour }
		w.Start(worker.Config{Backoffs: backoffs{"b": back}}, world.Handles(work, flaky.run))
		f := work
		f.Retry.Backoff = "b"
		_, err := w.call(f, "in")
		require.NoError(w, err)
		requireOnTime(w, []time.Duration{0}, flaky.gaps())
	})
}

func TestUnknownBackoffFallsBackToTheFormulaAndSaysSo(t *testing.T) {
	inHouse(t, func(w *house) {
		flaky := failing(2)
		w.Start(worker.Config{}, world.Handles(work, flaky.run))
		f := work
		f.Retry = refcache.RetryPolicy{Backoff: "fibonacci", Jitter: -1}
		f.AsyncTimeout = time.Second
		res, err := w.call(f, "in")
		require.NoError(w, err)
		require.Equal(w, refcache.Retrying, res.Status)
		require.Regexp(w, `^backoff fibonacci is unknown to worker \S+: the formula was used$`, res.Message)
		_, err = producerWait(w, f, res.RefID)
		require.NoError(w, err)
		require.Empty(w, w.info(res.RefID).Note, "it no longer matters")
		requireOnTime(w, []time.Duration{time.Second, 2 * time.Second}, flaky.gaps())
	})
}

func TestPanickingBackoffFallsBackToTheFormulaAndSaysSo(t *testing.T) {
	inHouse(t, func(w *house) {
		flaky := failing(1)
		bad := func(int, error) time.Duration { panic("off by one") }
		w.Start(worker.Config{Backoffs: backoffs{"b": bad}}, world.Handles(work, flaky.run))
		f := work
		f.Retry = refcache.RetryPolicy{Backoff: "b", Jitter: -1}
		ref := w.submit(f, "in")
		info := w.await(ref, refcache.Retrying)
		require.Equal(w, "backoff b panicked (off by one): the formula was used", info.Note)
		_, err := producerWait(w, f, ref)
		require.NoError(w, err)
		requireOnTime(w, []time.Duration{time.Second}, flaky.gaps())
	})
}
