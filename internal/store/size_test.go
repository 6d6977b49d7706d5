package store_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

// With 128 bytes of arguments and of result, all told: record, key, expiry, and for the last 10,000 the place in the list of
// completions.
func TestWhatACompleteCallTakesOfRedis(t *testing.T) {
	t.Parallel()
	addr := testkit.New(t).Addr
	rdb := redis.NewClient(testkit.Options(addr))
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	const queue = "default"
	policy, err := refcache.Func[int, int]{Name: "f", Queue: queue}.Policy()
	require.NoError(t, err)
	pad := fmt.Appendf(nil, `{"pad":"%s"}`, strings.Repeat("x", 118))
	call := func(s *store.Store, n int) error {
		ref := refcache.Ref(queue + ":" + hex.EncodeToString(fmt.Appendf(nil, "%016d", n)))
		token := rand.Text()
		_, err := s.Submit(t.Context(), ref, store.Submission{Request: rand.Text(), Inbox: "refq:inbox:b",
			Namespace: refcache.DefaultNamespace, Policy: policy, Args: pad})
		if err == nil {
			_, err = s.Claim(t.Context(), ref, token, "host-12345-abcdef")
		}
		if err == nil {
			_, err = s.Finish(t.Context(), ref, token, s.Completed(pad))
		}
		return err
	}
	const calls = 2048 // tables of Redis have powers of two
	callAll := func(from int) {
		const atOnce = 64
		callers := redis.NewClient(testkit.Options(addr))
		s := store.New(callers)
		ends := make(chan error, atOnce)
		for first := range atOnce {
			go func() {
				var err error
				for n := from + first; n < from+calls && err == nil; n += atOnce {
					err = call(s, n)
				}
				ends <- err
			}()
		}
		for range atOnce {
			require.NoError(t, <-ends)
		}
		require.NoError(t, callers.Close())
		for rdb.InfoMap(t.Context(), "clients").Item("Clients", "connected_clients") != "1" {
			require.NoError(t, t.Context().Err()) // memory of callers does not count
		}
	}
	callAll(0)
	before := usedMemory(t, rdb)
	callAll(calls)
	each := (usedMemory(t, rdb) - before) / calls
	index, err := rdb.MemoryUsage(t.Context(), "refq:{"+queue+"}:completions", 0).Result()
	require.NoError(t, err)
	older := each - int(index)/(2*calls)
	t.Logf("%d B a call, %d B when it is no longer listed", each, older)
	require.LessOrEqual(t, each, 1024)
	require.LessOrEqual(t, older, 960)
}

func usedMemory(t *testing.T, rdb *redis.Client) int {
	t.Helper()
	used, err := strconv.Atoi(rdb.InfoMap(t.Context(), "memory").Item("Memory", "used_memory"))
	require.NoError(t, err)
	return used
}
