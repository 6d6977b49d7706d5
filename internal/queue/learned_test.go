package queue_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/refcache"
)

// completes claims and completes the task of a doorbell, which it acknowledges in the same step if it can.
func (h *house) completes(d queue.Doorbell) queue.Answer {
	token := "token of " + string(d.Ref)
	claim, err := h.store.Claim(h.Context(), d.Ref, token, "w1")
	require.NoError(h, err)
	require.True(h, claim.Run)
	outcome := h.store.Completed([]byte("1"))
	outcome.Ack = d.Ack
	done, err := h.store.Finish(h.Context(), d.Ref, token, outcome)
	require.NoError(h, err)
	require.Equal(h, refcache.Complete, done.Status)
	if done.Acked {
		return queue.Acknowledged()
	}
	return queue.Answer{}
}

// asynqHas is all that asynq has in Redis, but for what its servers say of themselves.
func (h *house) asynqHas() map[string]string {
	has := map[string]string{}
	for _, key := range h.rdb.Keys(h.Context(), "asynq:{*").Val() {
		has[key] = h.rdb.Type(h.Context(), key).Val()
		if has[key] == "string" {
			has[key] = h.rdb.Get(h.Context(), key).Val() + " until " + time.Now().Add(h.rdb.TTL(h.Context(), key).Val()).Format(time.DateOnly)
		}
	}
	return has
}

// acksOf counts asynq's own acknowledgements that reach Redis from now on.
func (h *house) acksOf() *atomic.Int32 {
	var n atomic.Int32
	h.server.SetFaults(func(cmd []string) memredis.Fault {
		if strings.HasPrefix(cmd[0], "EVAL") && slices.Contains(cmd, "asynq:{"+name+"}:processed") && strings.HasPrefix(cmd[3], "asynq:") {
			n.Add(1)
		}
		return memredis.Pass
	})
	return &n
}

// asynq acknowledges the first, which shows how; what is sent in its stead for the next must leave what it leaves.
func TestADoorbellIsAcknowledgedWithTheEndOfItsTaskAsAsynqWould(t *testing.T) {
	inBubble(t, func(h *house) {
		stop := h.listen(func(_ context.Context, d queue.Doorbell) queue.Answer { return h.completes(d) })
		defer stop()
		acks := h.acksOf()
		h.enqueue(h.submit(3), queue.AtOnce)
		time.Sleep(time.Second)
		require.EqualValues(h, 1, acks.Load())
		first := h.asynqHas()
		total := "asynq:{" + name + "}:processed"
		require.Contains(h, first[total], "1 until")

		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		time.Sleep(time.Second)
		require.EqualValues(h, 1, acks.Load(), "asynq's own is answered without Redis")
		h.holds(r)
		for key, was := range h.asynqHas() {
			switch {
			case strings.HasPrefix(key, total):
				require.Equal(h, strings.Replace(first[key], "1 until", "2 until", 1), was, key)
			default:
				require.Equal(h, first[key], was, key)
			}
		}
		require.Contains(h, first, total+":"+time.Now().UTC().Format(time.DateOnly))
	})
}

// The next life of a task may ring by the same id: its acknowledgement is one of its own.
func TestAnAcknowledgementCountsForOneRing(t *testing.T) {
	inBubble(t, func(h *house) {
		var idle atomic.Bool
		stop := h.listen(func(_ context.Context, d queue.Doorbell) queue.Answer {
			if idle.Load() { // there is nothing to do
				return queue.Answer{}
			}
			return h.completes(d)
		})
		defer stop()
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		time.Sleep(time.Second)
		again := h.submit(3)
		h.enqueue(again, queue.AtOnce)
		time.Sleep(time.Second)

		idle.Store(true)
		h.enqueue(again, queue.AtOnce)
		time.Sleep(time.Second)
		h.holds(again)
	})
}

// The end of a task counts, whatever has become of its doorbell (R10).
func TestADoorbellThatIsGoneKeepsNoTaskFromItsEnd(t *testing.T) {
	inBubble(t, func(h *house) {
		var meddles atomic.Pointer[func()]
		stop := h.listen(func(_ context.Context, d queue.Doorbell) queue.Answer {
			(*meddles.Load())()
			return h.completes(d)
		})
		defer stop()
		key := "asynq:{" + name + "}:"
		for _, meddle := range []func(){
			func() {}, // from here on it is known how asynq acknowledges
			func() { h.rdb.Del(h.Context(), key+"active", key+"lease") },
			func() { h.rdb.Set(h.Context(), key+"lease", "not asynq's", 0) },
		} {
			meddles.Store(&meddle)
			r := h.submit(3)
			h.enqueue(r, queue.AtOnce)
			time.Sleep(time.Second)
			require.Equal(h, refcache.Complete, h.read(r.Ref).Status)
		}
		h.rdb.Del(h.Context(), key+"lease")
		require.EqualValues(h, 1, h.store.ErrorCounts()["piggyback"], "then asynq was to acknowledge")
	})
}

// A resend finds the end on record, and leaves the doorbell to asynq.
func TestAnEndWhoseAnswerIsLostAcknowledgesOnce(t *testing.T) {
	inBubble(t, func(h *house) {
		stop := h.listen(func(_ context.Context, d queue.Doorbell) queue.Answer { return h.completes(d) })
		defer stop()
		for range 2 {
			h.enqueue(h.submit(3), queue.AtOnce)
			time.Sleep(time.Second)
		}
		var lost atomic.Int32
		h.server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "EVALSHA" && slices.Contains(cmd, "complete") && lost.Add(1) == 1 {
				return memredis.DropReply
			}
			return memredis.Pass
		})
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		time.Sleep(10 * time.Second)
		require.GreaterOrEqual(h, lost.Load(), int32(2), "the client sent it again")
		h.holds(r)
		require.Equal(h, "3", h.rdb.Get(h.Context(), "asynq:{"+name+"}:processed").Val())
	})
}
