package worker

import (
	"fmt"
	"runtime/debug"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// gated is a function with a gate.
type gated struct {
	policy refcache.Policy
	turn   func(args []byte) (refcache.Turn, error) // of a call, by its arguments
}

// turnBy is how a function tells the turns of calls. decode reads arguments.
func turnBy[In, Out any](f refcache.Func[In, Out], decode func(args []byte, in any) error) func(args []byte) (refcache.Turn, error) {
	if f.Turn == nil {
		return func(args []byte) (refcache.Turn, error) { return codec.TurnOf(args, f.TurnFields), nil }
	}
	return func(args []byte) (refcache.Turn, error) {
		var in In
		if err := decode(codec.Plain(args), &in); err != nil {
			return refcache.Turn{}, err
		}
		return f.Turn(in), nil
	}
}

// turnFields are what others can compute turns by; nil if there is no gate, or only the function's Turn can tell.
func turnFields[In, Out any](f refcache.Func[In, Out]) *refcache.TurnFields {
	if f.Gate.Name == "" || f.Turn != nil {
		return nil
	}
	return &f.TurnFields
}

// checkGate reports whether a function may have its gate beside those that are handled: functions of one gate share its queue and
// its numbers. The error names both functions.
func (w *Worker) checkGate(name function, p refcache.Policy) error {
	for other, f := range w.gated {
		mine, theirs := p.Gate, f.policy.Gate
		switch {
		case mine.Name != theirs.Name:
		case p.Queue != f.policy.Queue:
			return fmt.Errorf("functions %s and %s share gate %s: their queues are %s and %s, must be one", other, name, mine.Name, f.policy.Queue, p.Queue)
		case mine != theirs:
			return fmt.Errorf("functions %s and %s share gate %s: its numbers are %s and %s, must be the same", other, name, mine.Name, numbers(theirs), numbers(mine))
		}
	}
	return nil
}

// numbers tells those of a gate.
func numbers(g refcache.Gate) string {
	return fmt.Sprintf("{each: %d, all: %d, rate: %d in %v, burst: %d, most_waiting: %d}", g.Each, g.All, g.Rate.N, g.Rate.Per, g.Rate.Burst, g.MostWaiting)
}

// gatesOf are the numbers of the gates in a queue, by name.
func (w *Worker) gatesOf(queue string) map[string]store.GateNumbers {
	gates := map[string]store.GateNumbers{}
	for _, f := range w.gated {
		if f.policy.Queue == queue {
			gates[f.policy.Gate.Name] = store.NumbersOf(f.policy.Gate)
		}
	}
	return gates
}

// turnOf computes where a call of a function with canonical arguments stands in the line of its gate; the zero Turn if it has none.
// The error is a *lackError, or permanent, also where the function's Turn panics.
func (w *Worker) turnOf(name function, args []byte) (store.Turn, error) {
	f, ok := w.gated[name]
	if !ok {
		return store.Turn{}, nil
	}
	found, err := safely(name, func() (refcache.Turn, error) { return f.turn(args) })
	if err != nil {
		return store.Turn{}, err
	}
	if err := found.Check(); err != nil {
		return store.Turn{}, Permanent(fmt.Errorf("turn of %s: %w", name, err))
	}
	return store.NewTurn(f.policy.Gate.Name, found.Key, found.Share, found.Ahead), nil
}

// safely calls what may panic, or end its goroutine. That is a permanent error.
func safely(name function, turn func() (refcache.Turn, error)) (found refcache.Turn, err error) {
	err = Permanent(fmt.Errorf("turn of %s ended its goroutine", name))
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = Permanent(fmt.Errorf("turn of %s panicked: %v\n\n%s", name, p, debug.Stack()))
			}
		}()
		found, err = turn()
	}()
	<-done
	return found, err
}
