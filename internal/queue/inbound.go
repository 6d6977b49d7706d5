package queue

import (
	"slices"
	"sync"
	"time"
)

const (
	// maxInbound is how long a doorbell may take from Redis through asynq to its handler. After that its slot is released, and
	// the attempt that was claimed with it is handed back.
	maxInbound = 2 * time.Second
	// maxForeignInbound is the same for a message that names no call: asynq hands nobody what it cannot decode, and one such
	// message after the other must not hold up the calls behind them.
	maxForeignInbound = 500 * time.Millisecond
)

// inbound is the table of the doorbells that were dequeued and that asynq has not handed to their handler yet. An entry leaves
// it once: to the handler (pop), by its timer, or with all others (close). It may be used concurrently.
type inbound struct {
	mu      sync.Mutex
	entries map[string][]*arrival // by ref_id, the oldest first; "": those that name none
	closed  bool
}

// arrival is a doorbell on its way to its handler.
type arrival struct {
	ref     string // empty for a message that is not refq's
	slot    *Slot
	claimed *Claimed    // nil when no attempt was claimed with it
	timer   *time.Timer // gives it up
}

func newInbound() *inbound { return &inbound{entries: map[string][]*arrival{}} }

// add puts a doorbell into the table. After close it is given up at once.
func (in *inbound) add(a *arrival) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		go a.giveUp("the worker stops")
		return
	}
	in.entries[a.ref] = append(in.entries[a.ref], a)
	limit := maxInbound
	if a.ref == "" {
		limit = maxForeignInbound
	}
	a.timer = time.AfterFunc(limit, func() {
		if in.remove(a) {
			a.giveUp("its doorbell did not come through asynq")
		}
	})
}

// pop takes the oldest doorbell of a ref_id out of the table: two deliveries of one call may be on their way at once. A message
// that names none of them takes the oldest of those that name no ref_id, whose slots are all alike. Nil: there is none.
func (in *inbound) pop(ref string) *arrival {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, key := range []string{ref, ""} {
		if all := in.entries[key]; len(all) > 0 {
			oldest := all[0]
			in.delete(oldest)
			oldest.timer.Stop()
			return oldest
		}
	}
	return nil
}

// remove reports whether a doorbell was still in the table.
func (in *inbound) remove(a *arrival) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.delete(a)
}

// delete is remove for those who hold mu.
func (in *inbound) delete(a *arrival) bool {
	all := in.entries[a.ref]
	i := slices.Index(all, a)
	switch {
	case i < 0:
		return false
	case len(all) == 1:
		delete(in.entries, a.ref)
	default:
		in.entries[a.ref] = slices.Delete(all, i, i+1)
	}
	return true
}

// close gives up what is in the table, and from now on whatever comes. It waits for nothing.
func (in *inbound) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	for _, all := range in.entries {
		for _, a := range all {
			a.timer.Stop()
			go a.giveUp("the worker stops")
		}
	}
	clear(in.entries)
}

// giveUp releases the slot and hands the attempt back. The doorbell may still come; then there is nothing to do.
func (a *arrival) giveUp(why string) {
	a.slot.Release()
	if a.claimed != nil {
		a.claimed.HandBack(why)
	}
}
