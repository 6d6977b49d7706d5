package producer_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// Whoever learns something by message also learns it otherwise, so what is on record is not refused for want of a message.
func TestAUserWithoutTheChannelsRightCompletesCalls(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 2)
	t.Run("nobody may listen", func(t *testing.T) { completeUnheard(t, "resetchannels") })
	t.Run("producers listen", func(t *testing.T) { completeUnheard(t, "allchannels") })
}

// completeUnheard runs a worker and an operator that may not publish beside a producer with these rights.
func completeUnheard(t *testing.T, ofProducer string) {
	t.Parallel()
	server := testkit.New(t)
	root := redis.NewClient(testkit.Options(server.Addr))
	defer root.Close()
	require.NoError(t, root.Do(t.Context(), "ACL", "SETUSER", "app", "on", ">secret", "~*", "resetchannels", "+@all").Err())
	require.NoError(t, root.Do(t.Context(), "ACL", "SETUSER", "maker", "on", ">secret", "~*", ofProducer, "+@all").Err())
	client := func(user string) redis.UniversalClient {
		options := testkit.Options(server.Addr)
		options.Username, options.Password = user, "secret"
		rdb := redis.NewClient(options)
		t.Cleanup(func() { _ = rdb.Close() })
		return rdb
	}
	fn := refcache.Func[string, string]{Name: "f", Timeout: time.Minute, AsyncTimeout: time.Minute, TTL: time.Hour,
		Retry: refcache.RetryPolicy{MaxRetries: 1, Delay: time.Millisecond}}
	var runs atomic.Int32
	w := worker.New(client("app"), worker.Config{Concurrency: 2})
	worker.Handle(w, fn, func(ctx context.Context, in string) (string, error) {
		if in == "hang" {
			<-ctx.Done()
			return "", ctx.Err()
		}
		if in == "fail" && runs.Add(1) <= 2 {
			return "", errors.New("not yet")
		}
		return in + "!", nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	defer func() { cancel(); require.NoError(t, <-ended) }()

	p := producer.New(client("maker"), producer.Config{})
	defer p.Close()
	a := admin.New(client("app"), admin.Config{})
	defer a.Close()
	answer, err := producer.Call(t.Context(), p, fn, "plain")
	require.NoError(t, err)
	require.Equal(t, "plain!", answer.Value)

	failing, err := producer.Submit(t.Context(), p, fn, "fail")
	require.NoError(t, err)
	answer, _ = producer.Wait(t.Context(), p, fn, failing)
	require.Equal(t, refcache.Failed, answer.Status)
	_, err = a.Retry(t.Context(), failing, admin.FreshBudget())
	require.NoError(t, err)
	answer, err = producer.Wait(t.Context(), p, fn, failing)
	require.NoError(t, err)
	require.Equal(t, "fail!", answer.Value)

	hanging, err := producer.Submit(t.Context(), p, fn, "hang")
	require.NoError(t, err)
	for {
		info, err := p.Info(t.Context(), hanging)
		require.NoError(t, err)
		if info.Status == refcache.Processing {
			break
		}
	}
	require.NoError(t, a.Cancel(t.Context(), hanging))
	info, err := p.Info(t.Context(), hanging)
	require.NoError(t, err)
	require.Equal(t, refcache.Cancelled, info.Status)
}
