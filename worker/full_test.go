package worker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// What a Redis says that is full: 7, and 6 of a script.
const (
	full7 memredis.Fault = "OOM command not allowed when used memory > 'maxmemory'. script: 5a2b, on @user_script:118."
	full6 memredis.Fault = "ERR Error running script (call to f_5a2b): @user_script:118: -OOM command not allowed when used memory > 'maxmemory'."
)

// full refuses what may grow, as a script's first write or by itself. Beats go through.
func full(says memredis.Fault) fault {
	return func(script string, cmd []string) memredis.Fault {
		switch {
		case script == "finish", script == "submit", script == "sweep", script == "dequeue_and_claim", script == "enqueue",
			cmd[0] == "ZADD", cmd[0] == "SADD", cmd[0] == "SETEX", cmd[0] == "HSET":
			return says
		}
		return memredis.Pass
	}
}

func TestAnOutcomeWaitsUntilRedisHasRoom(t *testing.T) {
	for _, says := range []memredis.Fault{full7, full6} {
		for _, lasts := range []time.Duration{15 * time.Second, 10 * time.Minute} { // less than asynq's lease, and more
			for _, fails := range []bool{false, true} {
				t.Run(fmt.Sprintf("%.3s/%v/%v", says, lasts, fails), func(t *testing.T) {
					inHouse(t, func(w *house) {
						returned := make(chan bool, 10)
						fn := &runs{fn: func(_ context.Context, attempt int) (string, error) {
							time.Sleep(2 * time.Second)
							defer func() { returned <- true }()
							if fails && attempt == 1 {
								return "", errDown
							}
							return "done", nil
						}}
						f := work
						f.Retry.MaxRetries = 1
						w.Start(worker.Config{}, world.Handles(work, fn.run))
						ref := w.submit(f, "in")
						time.Sleep(time.Second)
						w.faults(full(says))
						<-returned
						time.Sleep(lasts)
						require.Equal(w, refcache.Processing, w.info(ref).Status)
						w.faults(nil)
						info := w.Until(w.p, ref, refcache.Complete)
						retries := 0
						if fails {
							retries = 1
						}
						require.Equal(w, []int{1 + retries, retries, 0}, []int{info.Attempt, info.RetryCount, info.LostCount})
						require.Len(w, info.RetryHistory, retries)
					})
				})
			}
		}
	}
}
