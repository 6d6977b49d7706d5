package worker

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/refq/refq/internal/store"
)

// Ready returns nil while the Worker takes calls: Run was called, it does not stop, and Redis has heard of it within the
// time after which other workers would take it for dead. Else the error says which of these it is.
func (w *Worker) Ready() error {
	last := w.beaten.read()
	switch silent := time.Since(last); {
	case !w.ran.Load():
		return errors.New("worker: it was not started")
	case w.isStopping():
		return errors.New("worker: it stops")
	case last.IsZero():
		return errors.New("worker: Redis has not heard of it yet")
	case silent > store.DeadAfter:
		return fmt.Errorf("worker: Redis has not heard of it for %v: others take over its attempts", silent.Round(time.Second))
	}
	return nil
}

func (w *Worker) isStopping() bool {
	select {
	case <-w.stopping:
		return true
	default:
		return false
	}
}

// instant is a time that is written and read concurrently; zero at first.
type instant struct {
	mu sync.Mutex
	at time.Time
}

func (i *instant) set(at time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.at = at
}

func (i *instant) read() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.at
}
