package declared_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/declared"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
)

// Redis takes a second about one queue, as a node of a Cluster that is about to fall silent does.
func TestNoQueueWaitsForWhatIsReadOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, shared := testkit.Memory(t)
		options := *shared.(*redis.Client).Options()
		options.AutoPipelineOptions = nil // each command has a connection of its own
		rdb := redis.NewClient(&options)
		defer rdb.Close()
		r := declared.NewReader(store.New(rdb))
		asked := 0
		var mu sync.Mutex
		server.SetFaults(func(cmd []string) memredis.Fault {
			if slices.ContainsFunc(cmd, func(arg string) bool { return strings.Contains(arg, "{slow}") }) {
				mu.Lock()
				asked++
				mu.Unlock()
				time.Sleep(time.Second)
			}
			return memredis.Pass
		})
		took := func(ctx context.Context, queue string) (time.Duration, error) {
			began := time.Now()
			_, err := r.Functions(ctx, queue)
			return time.Since(began), err
		}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				_, err := took(t.Context(), "slow")
				assert.NoError(t, err)
			})
		}
		synctest.Wait()
		brief, end := context.WithTimeout(t.Context(), time.Millisecond)
		defer end()
		d, err := took(brief, "slow")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Millisecond, d)
		d, err = took(t.Context(), "quick")
		require.NoError(t, err)
		require.Zero(t, d)
		all.Wait()
		mu.Lock()
		require.Equal(t, 1, asked, "by one of the three")
		mu.Unlock()
		time.Sleep(6 * time.Second)
		all.Go(func() { _, _ = took(t.Context(), "slow") })
		synctest.Wait()
		d, err = took(t.Context(), "slow")
		require.NoError(t, err)
		require.Zero(t, d, "it has what was read before")
		all.Wait()
	})
}
