package monitor

// ServedQueue is whether a worker takes the calls of one of its queues.
type ServedQueue struct {
	Queue string
	Node  string // host:port of the Redis that holds the queue; empty if that is not known
	Err   error  // why no calls are taken; nil: they are
}
