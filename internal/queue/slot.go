package queue

import (
	"sync/atomic"
	"time"
)

// Slots are the places for functions that run at once in a process. The queues of a worker share them.
type Slots chan struct{}

// NewSlots returns n free slots.
func NewSlots(n int) Slots { return make(Slots, n) }

// Slot is a place that somebody has acquired.
type Slot struct {
	slots    Slots
	released atomic.Bool
}

// Release frees the slot. Only the first call does so. It may be called concurrently.
func (s *Slot) Release() {
	if !s.released.Swap(true) {
		<-s.slots
	}
}

// acquire waits for a free slot. It returns nil when stop is closed before it has one.
func (s Slots) acquire(stop <-chan struct{}) *Slot {
	select {
	case s <- struct{}{}:
		return &Slot{slots: s}
	case <-stop:
		return nil
	}
}

// acquireWithin waits for a free slot, at most for limit. It returns nil after that.
func (s Slots) acquireWithin(limit time.Duration) *Slot {
	late := make(chan struct{})
	defer time.AfterFunc(limit, func() { close(late) }).Stop()
	return s.acquire(late)
}

// AreFree reports whether a slot is free.
func (s Slots) AreFree() bool { return len(s) < cap(s) }
