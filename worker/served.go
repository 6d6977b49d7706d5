package worker

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
)

// served is how a worker serves one queue. The goroutine that beats there writes it, and those that ask for work; anybody reads.
type served struct {
	mu      sync.Mutex
	node    string    // where the queue is, if that is known
	beaten  time.Time // when the last beat was sent that Redis has answered; zero: none
	beatErr error     // of the last beat; nil: it was answered
	asked   time.Time // when Redis last answered the question for work, or nothing was to be asked
	askErr  error     // of the last question; nil: it was answered
}

// beat notes what became of a beat.
func (s *served) beat(node string, sent time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node, s.beatErr = node, err; err == nil {
		s.beaten = sent
	}
}

// ask notes what became of a question for work.
func (s *served) ask(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.askErr = err; err == nil {
		s.asked = time.Now()
	}
}

// excuse notes that nothing is to be asked now: no slot is free.
func (s *served) excuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = time.Now()
}

// lastAsked is when Redis last answered the question for work.
func (s *served) lastAsked() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// state is where the queue is, and why it is not served; nil: it is.
func (s *served) state() (node string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	silent, unasked := now.Sub(s.beaten), now.Sub(s.asked)
	switch {
	case s.beaten.IsZero():
		err = because(s.beatErr, "Redis has not heard of the worker yet")
	case silent > store.DeadAfter:
		err = because(s.beatErr, "Redis has not heard of the worker for %v: others take over its attempts", silent.Round(time.Second))
	case unasked > store.AskWithin:
		err = because(s.askErr, "Redis has not answered the worker's question for work for %v", unasked.Round(time.Second))
	}
	return s.node, err
}

// because adds the cause to a sentence, if there is one.
func because(cause error, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// Served tells of each queue of the worker, sorted by name, whether calls are taken there. A queue is served when Redis has
// answered the worker's beat in it within 6 s, and its question for work within 15 s, unless all slots are taken: Err is nil
// then, else it says what is missing. Before Run has begun, none is served.
func (w *Worker) Served() []monitor.ServedQueue {
	var all []monitor.ServedQueue
	for _, queue := range w.Queues() {
		q := monitor.ServedQueue{Queue: queue, Err: errors.New("the worker was not started")}
		if w.ran.Load() {
			q.Node, q.Err = w.served[queue].state()
		}
		all = append(all, q)
	}
	return all
}

// Ready returns nil while the Worker takes calls: Run was called, it does not stop, and at least one queue is served, as
// [Worker.Served] tells of each. Else the error says which of these it is.
func (w *Worker) Ready() error {
	switch {
	case !w.ran.Load():
		return errors.New("worker: it was not started")
	case w.isStopping():
		return errors.New("worker: it stops")
	}
	var first error
	for _, q := range w.Served() {
		if q.Err == nil {
			return nil
		}
		if first == nil {
			first = fmt.Errorf("worker: no queue is served: queue %s: %w", q.Queue, q.Err)
		}
	}
	return first
}

func (w *Worker) isStopping() bool {
	select {
	case <-w.stopping:
		return true
	default:
		return false
	}
}
