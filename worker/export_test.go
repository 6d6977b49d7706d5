package worker

import "github.com/refq/refq/internal/store"

// TurnOf is the turn of a call of a function of the worker.
func (w *Worker) TurnOf(name string, args []byte) (store.Turn, error) {
	return w.turnOf(function{name, 1}, args)
}

// GatesOf are the numbers of the worker's gates in a queue.
func (w *Worker) GatesOf(queue string) map[string]store.GateNumbers { return w.gatesOf(queue) }

// Lacks reports whether an error says that the worker does not know a member of the arguments.
func Lacks(err error) bool {
	_, lacks := err.(*lackError)
	return lacks
}

// IsPermanent reports whether an error is one that no retry can mend.
func IsPermanent(err error) bool {
	_, permanent := err.(*permanentError)
	return permanent
}

// OutcomeOf is what becomes of an attempt of a task whose function returns err.
func (w *Worker) OutcomeOf(task store.Record, err error) store.Outcome {
	a := &attempt{worker: w}
	a.claimed.Record = task
	a.judge(result{err: err, cause: "error"}, nil)
	return a.outcome
}

// IDOf is what events name a worker.
func IDOf(w *Worker) string { return w.id }
