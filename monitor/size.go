package monitor

import "time"

// QueueSize is how much there is in a queue, of all namespaces.
type QueueSize struct {
	Queue string
	// By status, but for complete: of those Redis lists only the last 10,000.
	Waiting, Pending, Processing, Retrying, Failed, Cancelled int64
	Workers                                                   int64         // that live
	OldestPending                                             time.Duration // how long the pending task has waited that waits longest; 0: none waits
}
