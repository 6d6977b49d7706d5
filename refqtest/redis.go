// Package refqtest helps to test code that makes or runs cached calls: no Redis, no Docker, no waiting.
//
// [NewRedis] gives a test a Redis of its own. Put the test into a [testing/synctest] bubble, and time is the bubble's:
// a retry that is due in an hour, a task's TTL of a day and a worker's timeout pass in no time, because the clock jumps
// ahead whenever all goroutines wait.
//
//	func TestThumbIsRetried(t *testing.T) {
//		t.Parallel() // before the bubble, not in it
//		synctest.Test(t, func(t *testing.T) {
//			rdb := refqtest.NewRedis(t)
//			ctx, stop := context.WithCancel(t.Context())
//			w := worker.New(rdb, worker.Config{})
//			worker.Handle(w, Thumb, flaky)
//			done := make(chan error)
//			go func() { done <- w.Run(ctx) }()
//
//			p := producer.New(rdb, producer.Config{})
//			res, err := producer.Call(ctx, p, Thumb, ThumbIn{…}) // flaky fails once: 1 s until the retry
//			…
//			time.Sleep(24 * time.Hour) // the result has expired
//			…
//			p.Close() // a bubble ends when its goroutines have ended
//			stop()
//			<-done
//		})
//	}
//
// Stop workers before long sleeps: in each second of the bubble's time they really poll. Outside a bubble all of this
// works, too, by the clock on the wall.
package refqtest

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/memredis"
)

// NewRedis returns a client of a new, empty in-memory Redis that belongs to t alone. The client has the settings of
// refq.Connect and may be used concurrently, also for Pub/Sub. Client and Redis are closed when t ends, after
// t's later cleanups; what uses them must have stopped by then. Keys expire by the clock.
//
// In a synctest bubble, t must be the bubble's. Outside, no port is opened either, so tests may run in parallel.
func NewRedis(t testing.TB) redis.UniversalClient {
	t.Helper()
	server, err := memredis.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	client := server.Client()
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close the client of the in-memory Redis: %v", err)
		}
	})
	return client
}
