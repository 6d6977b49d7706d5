package refcache

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// Gate limits how many calls run at the same time and how often they start, by a key that each call has ([Func].Turn).
// A call that may not start waits for its turn, with status [Waiting]. The functions of one gate share its queue and its
// numbers. The zero Gate is none.
//
// Who may start goes in rounds: the keys that can start a call take turns, and within a key its shares do. Within a share
// the call goes first that was made first, less its head start ([Turn].Ahead).
//
// A call counts from when it is let in until its attempt has ended. One that waits for a retry holds nothing.
type Gate struct {
	// Name is what the gate is known by: letters, digits and ._- (first a letter or digit), at most 128.
	Name string
	// Each is how many calls of a key may be let in at the same time. 0: no limit.
	Each int
	// All is how many calls of all keys together may be let in at the same time. 0: no limit, but [Slots] beside a Rate.
	All int
	// Rate limits the starts of each key. The zero Rate: no limit.
	Rate Rate
	// MostWaiting is how many calls of a key may wait. A submit beyond that, which would begin a call's life, is refused
	// with [ErrTooManyWaiting]. Joins and an operator's retries are not refused. 0: no limit.
	MostWaiting int
}

// Slots as [Gate].All limits a gate to what the living workers can run, their concurrency, and a quarter more, but at least 4.
// That keeps workers busy and calls in a fair order, and limits nothing else.
const Slots = -1

// Rate is how often attempts may start: N in Per, on average. Retries count, too. A start is counted when a call is let in.
type Rate struct {
	N   int           // at most 10,000 a second; 0: no limit
	Per time.Duration // default 1 s, at most a year
	// Burst is how many starts may come together after a pause. Default what 10 ms bring, at least 1.
	Burst int
}

// String is the rate as it may stand in config.yaml, such as 20/s or 5/10s, without its burst; 0 is none.
func (r Rate) String() string {
	per := r.Per.String()
	switch {
	case r.N == 0:
		return "0"
	case r.Per == time.Hour:
		per = "h"
	case r.Per == time.Minute:
		per = "m"
	case r.Per == time.Second:
		per = "s"
	}
	return strconv.Itoa(r.N) + "/" + per
}

// Turn is where a call stands in the line of a [Gate].
type Turn struct {
	// Key is what the gate limits by, such as a host. Any text will do, also none.
	Key string
	// Share is whose call it is, such as a tenant's. The shares of a key take turns. Any text will do, also none.
	Share string
	// Ahead is a head start: the call goes as if it had been made so much earlier. At most 24 h, so that nothing starves.
	Ahead time.Duration
}

// TurnFields is [Turn] by JSON Pointers (RFC 6901) into the arguments as JSON, such as /host. A text stands for itself, any other
// value is written as JSON, and what is absent or null is empty. Several pointers make one text of all their values.
type TurnFields struct {
	Key, Share []string
	Ahead      time.Duration
}

func (f TurnFields) isZero() bool { return len(f.Key) == 0 && len(f.Share) == 0 && f.Ahead == 0 }

const (
	maxAhead = 24 * time.Hour
	maxRate  = 10_000 // starts of a key in a second
	maxPer   = 365 * 24 * time.Hour
	// burstIn is how long a Rate is, of which the default Burst is made.
	burstIn = 10 * time.Millisecond
	// maxGateNumber bounds the other numbers of a gate, far beyond what Redis holds.
	maxGateNumber = 1_000_000_000
)

// Check reports whether a call may have this turn. The error names the field and the value.
func (t Turn) Check() error {
	if t.Ahead < 0 || t.Ahead > maxAhead {
		return fmt.Errorf("ahead is %v, must be 0 to %v", t.Ahead, maxAhead)
	}
	return nil
}

// withDefaults fills in the defaults. What is wrong stays wrong.
func (g Gate) withDefaults() Gate {
	if g.Rate.N > 0 {
		g.All = orDefault(g.All, Slots)
		g.Rate.Per = orDefault(g.Rate.Per, time.Second)
	}
	if r := &g.Rate; r.N > 0 && r.N <= maxGateNumber && r.Per > 0 {
		r.Burst = orDefault(r.Burst, max(1, int(time.Duration(r.N)*burstIn/r.Per)))
	}
	return g
}

// check reports whether the gate could be that of a declaration.
func (g Gate) check() error {
	if g == (Gate{}) {
		return nil
	}
	if !validQueue(g.Name) {
		return fmt.Errorf("gate %q: use letters, digits and ._- (first a letter or digit), at most 128", clip(g.Name))
	}
	if err := g.checkNumbers(); err != nil {
		return fmt.Errorf("gate %s: %w", g.Name, err)
	}
	return nil
}

func (g Gate) checkNumbers() error {
	for _, n := range []struct {
		field string
		value int
		least int
	}{{"each", g.Each, 0}, {"all", g.All, Slots}, {"rate", g.Rate.N, 0}, {"burst", g.Rate.Burst, 0}, {"most_waiting", g.MostWaiting, 0}} {
		switch {
		case n.value < n.least && n.least == Slots:
			return fmt.Errorf("%s is %d, must be 0 (no limit) or more, or %d for slots", n.field, n.value, Slots)
		case n.value < n.least:
			return fmt.Errorf("%s is %d, must be 0 or more", n.field, n.value)
		case n.value > maxGateNumber:
			return fmt.Errorf("%s is %d, must be at most %d", n.field, n.value, maxGateNumber)
		}
	}
	return g.Rate.check()
}

// check reports whether a rate of numbers within their bounds makes sense.
func (r Rate) check() error {
	switch {
	case r.N == 0 && r.Burst != 0:
		return fmt.Errorf("burst is %d, must stand beside a rate", r.Burst)
	case r.N == 0 && r.Per != 0:
		return fmt.Errorf("rate is 0 in %v, must be at least 1", r.Per)
	case r.N == 0:
		return nil
	case r.Per < 0 || r.Per > maxPer:
		return fmt.Errorf("rate is %d in %v, must be in more than 0 and at most 365 days", r.N, r.Per)
	case float64(r.N) > maxRate*r.Per.Seconds():
		return fmt.Errorf("rate is %d in %v, must be at most %d in 1s", r.N, r.Per, maxRate)
	case float64(r.Burst)*float64(r.Per)/float64(r.N) > float64(MaxDelay):
		return fmt.Errorf("burst is %d, more than the rate brings in 100 years", r.Burst)
	}
	return nil
}

// Interval is the time between two starts, on average: at least 100 µs, in whole µs, rounded up. It is 0 without a limit.
func (r Rate) Interval() time.Duration {
	if r.N <= 0 {
		return 0
	}
	return time.Duration(math.Ceil(float64(r.Per)/float64(r.N)/float64(time.Microsecond))) * time.Microsecond
}

// checkTurn is what is wrong with what a declaration says of turns.
func checkTurn(gated, own bool, fields TurnFields) error {
	switch {
	case !gated && (own || !fields.isZero()):
		return errors.New("turn is set, must stand beside a gate")
	case own && !fields.isZero():
		return errors.New("turn and turn_fields are both set: leave one out")
	}
	if err := checkPointers("turn.key", fields.Key); err != nil {
		return err
	}
	if err := checkPointers("turn.share", fields.Share); err != nil {
		return err
	}
	if err := (Turn{Ahead: fields.Ahead}).Check(); err != nil {
		return fmt.Errorf("turn.%w", err)
	}
	return nil
}

// checkPointers is what is wrong with the JSON Pointers of a field.
func checkPointers(field string, pointers []string) error {
	for i, pointer := range pointers {
		if !isPointer(pointer) {
			return fmt.Errorf("%s is %.80q, must be JSON Pointers like /url", field, pointer)
		}
		if slices.Contains(pointers[:i], pointer) {
			return fmt.Errorf("%s has %.80q twice", field, pointer)
		}
	}
	return nil
}
