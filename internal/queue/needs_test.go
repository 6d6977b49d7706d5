package queue_test

import (
	"testing"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/queue"
)

func TestArchivedDoorbellsAreCounted(t *testing.T) {
	inBubble(t, func(h *house) {
		for n := range 3 {
			archived, err := h.bell.Archived(h.Context(), name)
			require.NoError(h, err)
			require.Equal(h, n, archived)
			states["archived"].drive(h, h.submit(3))
		}
	})
}

func TestTryingWhatAsynqNeedsLeavesNothing(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		before := h.server.Dump()
		refused, err := h.store.Refused(h.Context(), queue.Needs(name))
		require.NoError(h, err)
		require.Empty(h, refused)
		require.Equal(h, before, h.server.Dump())
		h.holds(r, asynq.TaskStatePending)
	})
}
