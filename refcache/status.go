package refcache

// Status is the state of a task.
type Status string

const (
	Waiting    Status = "waiting"    // may not run yet: its turn has not come
	Pending    Status = "pending"    // waits for a worker
	Processing Status = "processing" // an attempt is running
	Retrying   Status = "retrying"   // failed an attempt, waits for the next one
	Complete   Status = "complete"   // final: there is a result
	Failed     Status = "failed"     // final: no further automatic attempt
	Cancelled  Status = "cancelled"  // final: a person called it off
)

// Statuses lists every Status in the order of a task's life.
var Statuses = []Status{Waiting, Pending, Processing, Retrying, Complete, Failed, Cancelled}

// IsFinal reports whether the task has ended: complete, failed or cancelled.
func (s Status) IsFinal() bool {
	return s == Complete || s == Failed || s == Cancelled
}

// InFlight reports whether the task is still to end: waiting, pending, processing or retrying.
func (s Status) InFlight() bool {
	return s == Waiting || s == Pending || s == Processing || s == Retrying
}
