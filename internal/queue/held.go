package queue

import (
	"sync"
	"time"
)

// heldMost is how long a slot is held for a doorbell that asynq has not let anybody answer, for reasons of its own.
const heldMost = 500 * time.Millisecond

// held are the slots taken for doorbells that are on their way through asynq. One is as good as another.
type held struct {
	mu     sync.Mutex
	timers []*time.Timer
}

// add notes that a slot is taken, and frees it unless it is taken over in time.
func (h *held) add(slots chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timers = append(h.timers, time.AfterFunc(heldMost, func() { <-slots }))
}

// take takes a slot over; false when none is held.
func (h *held) take() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.timers) > 0 {
		oldest := h.timers[0]
		h.timers = h.timers[1:]
		if oldest.Stop() {
			return true
		}
	}
	return false
}
