package live_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/web/live"
)

func fresh() admin.RetryOption { return admin.FreshBudget() }

// counting follows a number that grows every second.
func counting(started, ended *int, mu *sync.Mutex) *live.Shared[string, int] {
	return live.NewShared(func(ctx context.Context, _ string, _ <-chan struct{}, tell func(int)) {
		mu.Lock()
		*started++
		mu.Unlock()
		for n := 1; ; n++ {
			tell(n)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				mu.Lock()
				*ended++
				mu.Unlock()
				return
			}
		}
	})
}

func TestAThingIsFollowedOnceAndAsLongAsSomebodyWatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var started, ended int
		var mu sync.Mutex
		s := counting(&started, &ended, &mu)
		a, b, other := s.Watch("x"), s.Watch("x"), s.Watch("y")
		time.Sleep(10*time.Second + time.Millisecond)
		for _, v := range []*live.Viewer[int]{a, b} {
			n, err := v.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, 11, n, "a slow viewer sees the latest")
		}
		start := time.Now()
		n, err := a.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, 12, n)
		require.Equal(t, 999*time.Millisecond, time.Since(start))
		require.Equal(t, 2, started)
		a.Leave()
		a.Leave()
		require.Zero(t, ended)
		b.Leave()
		require.Equal(t, 1, ended, "the last one waits for the end")
		other.Leave()
		require.Zero(t, s.Watched())

		again := s.Watch("x")
		defer again.Leave()
		n, err = again.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
	})
}

func TestWhoSkipsSeesOnlyWhatComesAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var started, ended int
		var mu sync.Mutex
		s := counting(&started, &ended, &mu)
		first := s.Watch("x")
		defer first.Leave()
		time.Sleep(5*time.Second + time.Millisecond)
		v := s.Watch("x")
		defer v.Leave()
		v.Skip()
		n, err := v.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, 7, n)
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := live.NewShared(func(ctx context.Context, _ int, _ <-chan struct{}, _ func(int)) { <-ctx.Done() })
		v := s.Watch(1)
		defer v.Leave()
		enough := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, enough)
		defer cancel()
		_, err := v.Next(ctx)
		require.ErrorIs(t, err, enough)
	})
}

func TestWhoFollowsHearsOfThoseWhoJoin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		joins := 0
		s := live.NewShared(func(ctx context.Context, _ int, joined <-chan struct{}, _ func(int)) {
			for {
				select {
				case <-joined:
					joins++
				case <-ctx.Done():
					return
				}
			}
		})
		for range 3 {
			defer s.Watch(1).Leave()
			synctest.Wait()
		}
		require.Equal(t, 2, joins)
	})
}
