package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/queue"
)

// People press "Run" in asynq's web UI, and clocks differ: a doorbell may ring, and be put off again, before it was due.
func TestADoorbellPutOffAnewDoesNotHoldUpShutdown(t *testing.T) {
	inBubble(t, func(h *house) {
		heard := make(chan bool, 9)
		stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer {
			heard <- true
			return queue.Again(time.Hour, "not due", false)
		})
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		time.Sleep(time.Second)
		require.NoError(h, h.asynq.RunTask(name, id(r, 1)))
		time.Sleep(4 * time.Second)
		require.Len(h, heard, 2)
		started := time.Now()
		stop()
		require.Less(h, time.Since(started), 5*time.Second)
	})
}
