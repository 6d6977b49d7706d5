package doorbell_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/doorbell"
)

// People press "Run" in asynq's web UI, and clocks differ: a doorbell may ring, and be put off again, before it was due.
func TestADoorbellPutOffAnewDoesNotHoldUpShutdown(t *testing.T) {
	inBubble(t, func(h *house) {
		heard := make(chan bool, 9)
		stop := h.listen(func(context.Context, doorbell.Rung) doorbell.Answer {
			heard <- true
			return doorbell.Again(time.Hour, "not due", false)
		})
		r := h.submit(3)
		h.ring(r, doorbell.AtOnce)
		time.Sleep(time.Second)
		require.NoError(h, h.asynq.RunTask(queue, id(r, 1)))
		time.Sleep(4 * time.Second)
		require.Len(h, heard, 2)
		started := time.Now()
		stop()
		require.Less(h, time.Since(started), 5*time.Second)
	})
}
