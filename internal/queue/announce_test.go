package queue_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/queue"
)

// asynq's web UI shows each line of a worker as a server.
func TestALineIsListedAmongAsynqsServersUntilItStops(t *testing.T) {
	inBubble(t, func(h *house) {
		stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer { return queue.Answer{} })
		time.Sleep(time.Second)
		servers, err := h.asynq.Servers()
		require.NoError(h, err)
		require.Len(h, servers, 1)
		require.Equal(h, map[string]int{name: 1}, servers[0].Queues)
		time.Sleep(time.Minute)
		servers, err = h.asynq.Servers()
		require.NoError(h, err)
		require.Len(h, servers, 1, "it is written again before it is over")
		stop()
		servers, err = h.asynq.Servers()
		require.NoError(h, err)
		require.Empty(h, servers)
	})
}

// asynq extends leases after it has told of its server.
func TestAListThatDoesNotAnswerHoldsUpNoLease(t *testing.T) {
	inBubble(t, func(h *house) {
		h.server.SetFaults(func(cmd []string) memredis.Fault {
			for _, word := range cmd {
				if strings.HasPrefix(word, "asynq:servers") || strings.HasPrefix(word, "asynq:workers") {
					time.Sleep(time.Hour)
				}
			}
			return memredis.Pass
		})
		held := make(chan struct{})
		stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer {
			<-held
			return queue.Answer{}
		})
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		time.Sleep(time.Minute)
		for range 60 {
			time.Sleep(time.Second)
			leases := h.rdb.ZRangeWithScores(h.Context(), "asynq:{"+name+"}:lease", 0, -1).Val()
			require.Len(h, leases, 1)
			require.GreaterOrEqual(h, int64(leases[0].Score)-time.Now().Unix(), int64(24), "of 30 s, extended each 5 s")
		}
		close(held)
		h.server.SetFaults(nil)
		stop()
	})
}
