package queue_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/queue"
)

// isAck reports whether a command takes a doorbell out of asynq's active ones; taking one from the queue puts it there.
func isAck(cmd []string) bool {
	has := func(suffix string) bool {
		return slices.ContainsFunc(cmd, func(arg string) bool { return strings.HasSuffix(arg, suffix) })
	}
	return strings.HasPrefix(cmd[0], "EVAL") && has(":lease") && has(":active") && !has(":paused")
}

var answers = map[string]struct {
	answer queue.Answer
	state  asynq.TaskState // of the doorbell when it has arrived
}{
	"acknowledged": {queue.Answer{}, 0},
	"again":        {queue.Again(time.Hour, "later", true), asynq.TaskStateRetry},
	"archived":     {queue.Archive("failed"), asynq.TaskStateArchived},
}

// asynq gives the doorbell up for lost only after a minute.
func TestAnswerThatDidNotArriveIsRepeatedWithin6s(t *testing.T) {
	for name, a := range answers {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(h *house) {
				const away = 9 * time.Second // longer than the client tries, in the pipe and out of it
				began := time.Now()
				h.server.SetFaults(func(cmd []string) memredis.Fault {
					if isAck(cmd) && time.Since(began) < away {
						return memredis.DropRequest
					}
					return memredis.Pass
				})
				r := h.submit(3)
				h.enqueue(r, queue.AtOnce)
				heard := make(chan bool, 9)
				stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer {
					heard <- true
					return a.answer
				})
				defer stop()
				<-heard
				time.Sleep(away)
				h.holds(r, asynq.TaskStateActive)
				time.Sleep(6 * time.Second)
				h.holds(r, a.state)
				require.Empty(h, heard)
			})
		})
	}
}

// The lease ends 30 s after the last sign of life: whoever holds the doorbell then is not to be answered for.
func TestAnswerIsNotRepeatedAfterItsLease(t *testing.T) {
	inBubble(t, func(h *house) {
		var last atomic.Int64 // Unix ms
		h.server.SetFaults(func(cmd []string) memredis.Fault {
			if isAck(cmd) {
				last.Store(time.Now().UnixMilli())
				time.Sleep(10 * time.Second) // longer than the client waits
				return memredis.DropRequest
			}
			return memredis.Pass
		})
		h.enqueue(h.submit(3), queue.AtOnce)
		var answered time.Time
		stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer {
			answered = time.Now()
			return queue.Answer{}
		})
		time.Sleep(50 * time.Second)
		stop()
		after := time.UnixMilli(last.Load()).Sub(answered)
		require.Greater(h, after, 20*time.Second)
		require.LessOrEqual(h, after, 30*time.Second)
	})
}

// The answer takes effect, the client sends it again, and asynq refuses the copy. To repeat it then would answer the
// next ring of the same doorbell, which may be under way.
func TestAnswerThatArrivedUnseenIsNotRepeated(t *testing.T) {
	inBubble(t, func(h *house) {
		h.enqueue(h.submit(3), queue.AtOnce)
		h.answered(queue.Again(time.Second, "Redis learns the script", true))
		var acks atomic.Int64
		h.server.SetFaults(func(cmd []string) memredis.Fault {
			if isAck(cmd) && acks.Add(1) == 1 {
				return memredis.DropReply
			}
			return memredis.Pass
		})
		heard := make(chan bool, 9)
		stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer {
			heard <- true
			if len(heard) == 1 {
				return queue.Again(time.Second, "retry", true)
			}
			time.Sleep(20 * time.Second)
			return queue.Answer{}
		})
		defer stop()
		time.Sleep(18 * time.Second)
		require.EqualValues(h, 2, acks.Load(), "the answer and the client's copy")
		require.Len(h, heard, 2)
		active, err := h.asynq.ListActiveTasks(name)
		require.NoError(h, err)
		require.Len(h, active, 1, "the second ring is being answered")
		time.Sleep(10 * time.Second)
		require.Len(h, heard, 2)
	})
}

// What the two tests above hold against is asynq's. When this fails, asynq has mended it: then the client that its
// server gets need not.
func TestAsynqRepeatsAnswersWithACancelledContext(t *testing.T) {
	inBubble(t, func(h *house) {
		watch := &watched{UniversalClient: h.rdb}
		server := asynq.NewServerFromRedisClient(watch, asynq.Config{Queues: map[string]int{name: 1}, LogLevel: asynq.FatalLevel})
		h.server.SetFaults(func(cmd []string) memredis.Fault {
			if isAck(cmd) {
				return "ERR lost"
			}
			return memredis.Pass
		})
		h.enqueue(h.submit(3), queue.AtOnce)
		require.NoError(h, server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })))
		time.Sleep(18 * time.Second)
		server.Shutdown()
		require.NotEmpty(h, watch.errs)
		require.NoError(h, watch.errs[0])
		for _, err := range watch.errs[1:] {
			require.ErrorIs(h, err, context.Canceled)
		}
		require.Len(h, watch.errs, 5, "at once, three times each 5 s, and at the end")
	})
}

// watched notes the state of the contexts that asynq answers with; it is used by one goroutine of asynq at a time.
type watched struct {
	redis.UniversalClient
	errs []error
}

func (w *watched) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if isAck(append([]string{"EVALSHA"}, keys...)) {
		w.errs = append(w.errs, ctx.Err())
	}
	return w.UniversalClient.EvalSha(ctx, sha, keys, args...)
}
