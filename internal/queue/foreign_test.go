package queue_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/refcache"
)

// foreign puts a task into asynq that is not ours.
func (h *house) foreign(kind string, payload []byte, options ...asynq.Option) {
	h.Helper()
	_, err := asynq.NewClientFromRedisClient(h.rdb).Enqueue(asynq.NewTask(kind, payload), append(options, asynq.Queue(name))...)
	require.NoError(h, err)
}

func TestTasksOfOthersAreArchivedWithTheReasonUnanswered(t *testing.T) {
	inBubble(t, func(h *house) {
		const hash = "0123456789abcdef0123456789abcdef"
		payloads := map[string]string{
			"": "invalid ref_id", `{"user":1}`: "invalid ref_id", "media:xyz": "invalid ref_id", hash: "invalid ref_id",
			"\xff\xfe\x00\x1b[31m": `"\xff\xfe\x00\x1b[31m" is not of the form`, strings.Repeat("x", 1<<20): "invalid ref_id",
			name + ":" + hash + "\n": "invalid ref_id",
			"media.1:" + hash:        "media.1:" + hash + " belongs to queue media.1, and this is " + name,
			"other:" + hash:          "belongs to queue other",
			name + ":" + hash + ".2": "invalid ref_id", // a doorbell's id, not a ref_id
		}
		n := 0
		for payload := range payloads {
			n++
			h.foreign("email", []byte(payload), asynq.TaskID(fmt.Sprint(n)))
		}
		stop := h.listen(func(_ context.Context, d queue.Doorbell) queue.Answer {
			h.Errorf("answered %s", d.Ref)
			return queue.Answer{}
		})
		time.Sleep(30 * time.Second)
		stop()
		archived, err := h.asynq.ListArchivedTasks(name)
		require.NoError(h, err)
		require.Len(h, archived, len(payloads))
		for _, d := range archived {
			require.Contains(h, d.LastErr, "not a task of refq: ")
			require.Contains(h, d.LastErr, payloads[string(d.Payload)])
			require.Less(h, len(d.LastErr), 400)
			require.Zero(h, d.Retried)
		}
	})
}

// The record says what is to be run, whoever rings and whatever they call it.
func TestForeignDoorbellForATaskOfOursIsADoorbell(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		h.foreign("somebody's type", []byte(r.Ref), asynq.TaskID("somebody's id"), asynq.MaxRetry(0))
		heard := make(chan refcache.Ref, 9)
		stop := h.listen(func(_ context.Context, d queue.Doorbell) queue.Answer {
			heard <- d.Ref
			return queue.Answer{}
		})
		time.Sleep(10 * time.Second)
		stop()
		require.Len(h, heard, 1)
		require.Equal(h, r.Ref, <-heard)
	})
}

// asynq moves what it cannot decode out of the way, and no further; our doorbells come through all the same.
func TestMessagesThatAsynqCannotDecodeBlockNobody(t *testing.T) {
	inBubble(t, func(h *house) {
		for n, message := range []string{"", "garbage", "\xff\xff\xff\xff", string(bytes.Repeat([]byte{0}, 1<<20))} {
			id := fmt.Sprint("broken", n)
			pipe := h.rdb.TxPipeline()
			pipe.HSet(h.Context(), "asynq:{"+name+"}:t:"+id, "msg", message, "state", "pending")
			pipe.LPush(h.Context(), "asynq:{"+name+"}:pending", id)
			_, err := pipe.Exec(h.Context())
			require.NoError(h, err)
		}
		h.rdb.LPush(h.Context(), "asynq:{"+name+"}:pending", "without any message")
		heard := make(chan refcache.Ref, 9)
		stop := h.listen(func(_ context.Context, d queue.Doorbell) queue.Answer {
			heard <- d.Ref
			return queue.Answer{}
		})
		for range 3 {
			r := h.submit(3)
			h.enqueue(r, queue.AtOnce)
			time.Sleep(5 * time.Second)
			require.Len(h, heard, 1)
			require.Equal(h, r.Ref, <-heard)
			h.holds(r, 0)
		}
		time.Sleep(3 * time.Minute) // past asynq's own recovery
		stop()
	})
}
