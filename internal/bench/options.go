package bench

import (
	"fmt"
	"time"
)

// Options say what is measured. [Defaults] has values for all of them.
type Options struct {
	Calls       int           // of a round
	Callers     []int         // how many wait at a time: one case for each
	Concurrency int           // of the workers
	Payload     int           // bytes of a call's arguments and of its result
	Delay       time.Duration // that replies of Redis are held back, as a network would
	Rounds      int           // of each side of each case, taking turns
	Baseline    string        // "asynq": compare with bare asynq tasks; empty: not
	Only        []string      // names of scenarios; empty: all
	Anyway      bool          // measure on a Redis that holds other data

	Stored  int           // results that are there already, in growth
	Pending int           // calls of others that are there already, in growth; that wait in line, in gates
	Waiters int           // calls that wait at once, in waiters
	Watch   time.Duration // how long an idle process is watched
}

// Defaults are the Options of a run that nobody told otherwise.
var Defaults = Options{Calls: 5000, Callers: []int{64}, Concurrency: 64, Payload: 128, Rounds: 5,
	Stored: 100_000, Pending: 20_000, Waiters: 10_000, Watch: 3 * time.Second}

// Quick are the Options of the run whose counted figures [Exceeded] checks: some 20 s.
var Quick = Options{Calls: 1000, Callers: []int{16}, Concurrency: 16, Payload: 128, Rounds: 3,
	Only: []string{"closed", "open", "many", "hits", "answers", "local", "idle-cost", "waiters"}, Waiters: 1000, Watch: 1 * time.Second}

const (
	leastPayload = 64 // room for what tells the calls apart
	maxPayload   = 1 << 20
)

// Check says what of the options cannot be.
func (o Options) Check() error {
	for _, least := range []struct {
		name  string
		value int
		least int
	}{
		{"calls", o.Calls, 1}, {"concurrency", o.Concurrency, 1}, {"rounds", o.Rounds, 1}, {"payload", o.Payload, leastPayload},
		{"stored", o.Stored, 0}, {"pending", o.Pending, 0}, {"waiters", o.Waiters, 1},
	} {
		if least.value < least.least {
			return fmt.Errorf("--%s is %d, must be at least %d", least.name, least.value, least.least)
		}
	}
	for _, n := range o.Callers {
		if n < 1 {
			return fmt.Errorf("--callers is %d, must be at least 1", n)
		}
	}
	switch {
	case len(o.Callers) == 0:
		return fmt.Errorf("--callers is empty, must be a number or more")
	case o.Payload > maxPayload:
		return fmt.Errorf("--payload is %d, must be at most %d", o.Payload, maxPayload)
	case o.Delay < 0:
		return fmt.Errorf("--delay is %v, must not be negative", o.Delay)
	case o.Baseline != "" && o.Baseline != asynqSide:
		return fmt.Errorf("--baseline is %q, must be %s", o.Baseline, asynqSide)
	}
	return nil
}
