package monitor

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/refq/refq/refcache"
)

// GateState is how a gate of a queue stands, for the calls of all namespaces.
type GateState struct {
	Queue string
	Name  string

	Numbers  refcache.Gate   // the limits that count: what workers declare, and what an operator has set in place of some of that
	Declared *GateDeclared   // what counts of what workers declare; nil: none ever has declared the gate, so it lets nobody in
	Set      *GateSet        // nil: no operator has set anything
	Paused   *refcache.Pause // nil: it is not paused

	Running int           // calls that were let in, of all keys
	Limit   int           // how many of these may be; 0: no limit
	Waiting int           // calls that wait for their turn; at least so many if Partial
	Keys    int           // that they wait for
	Partial bool          // there are more keys than were looked at
	Oldest  time.Duration // the longest that one of those has waited that were looked at; 0: none waits

	// Stalled is the longest that one of those has waited although gate and key have room.
	Stalled time.Duration
	// ClosedKey is the key that has been closed for longest, of those looked at, and Closed for how long. Nil: none is.
	ClosedKey string
	Closed    *time.Duration

	// Undeclared: no living worker of the queue declares the gate, as far as they have told.
	Undeclared bool
	// Differing are the different numbers that living workers declare, if there are several.
	Differing []refcache.Gate
}

// GateDeclared is what a worker has declared of a gate.
type GateDeclared struct {
	Numbers refcache.Gate
	By      string    // the worker
	At      time.Time // when it was started, by its clock
}

// GateSetting is what an operator sets of a gate in place of what workers declare. What is nil is as declared, and zero is
// no limit, as in [refcache.Gate].
type GateSetting struct {
	Each        *int
	All         *int
	Rate        *refcache.Rate // with its burst
	MostWaiting *int
}

// GateSet is what an operator has set.
type GateSet struct {
	GateSetting
	By    string
	At    time.Time
	Until *time.Time // nil: until it is reset
}

// GateKey is how a key of a gate stands.
type GateKey struct {
	Key         string // of [refcache.Turn]; a hash replaces the end of a long one
	Running     int
	Waiting     int
	Oldest      time.Duration       // the longest that one has waited that is next in its share; 0: none waits
	Reason      refcache.TurnReason // why those do not start that wait; empty: none waits
	NextStartAt *time.Time          // when time lets the next of them start; nil: it is not time that it needs
	ClosedUntil *time.Time          // from then on one call goes alone, and opens the key when it completes; nil: it is open
	ClosedAt    *time.Time
	Paused      *refcache.Pause

	// Of the call that is next, if one has waited for more than a second: what no living worker serves, and a sentence without its end
	// on why nobody would run it, as that of a [refcache.Response]: also when its queue or its function is paused. Both are empty if
	// somebody would, or if that is not known.
	Unserved refcache.Unserved
	Message  string
}

// HasRoom reports whether fewer calls of the key, and of all keys, run than may.
func (g GateState) HasRoom(k GateKey) bool {
	return (g.Limit == 0 || g.Running < g.Limit) && (g.Numbers.Each == 0 || k.Running < g.Numbers.Each)
}

// GateLimit is one of the limits of a gate, as people read it.
type GateLimit struct {
	Name     string // each, all, rate or most waiting
	Value    string // that counts, such as "10", "slots", "50/s, burst 5" or "no limit"
	Declared string // what is declared, if an operator has set another; "nothing" where no worker has ever declared the gate
}

// Limits are the limits of the gate, always the same in the same order.
func (g GateState) Limits() []GateLimit {
	var set GateSetting
	if g.Set != nil {
		set = g.Set.GateSetting
	}
	var declared refcache.Gate
	if g.Declared != nil {
		declared = g.Declared.Numbers
	}
	limit := func(name string, isSet bool, value, declared string) GateLimit {
		switch {
		case !isSet:
			return GateLimit{name, value, ""}
		case g.Declared == nil:
			return GateLimit{name, value, "nothing"}
		}
		return GateLimit{name, value, declared}
	}
	return []GateLimit{
		limit("each", set.Each != nil, limitText(g.Numbers.Each), limitText(declared.Each)),
		limit("all", set.All != nil, limitText(g.Numbers.All), limitText(declared.All)),
		limit("rate", set.Rate != nil, rateText(g.Numbers.Rate), rateText(declared.Rate)),
		limit("most waiting", set.MostWaiting != nil, limitText(g.Numbers.MostWaiting), limitText(declared.MostWaiting)),
	}
}

// Limited are those of [GateState.Limits] that limit something, and those that an operator has set.
func (g GateState) Limited() []GateLimit {
	return slices.DeleteFunc(g.Limits(), func(l GateLimit) bool { return l.Value == noLimit && l.Declared == "" })
}

const noLimit = "no limit"

func limitText(n int) string {
	switch n {
	case 0:
		return noLimit
	case refcache.Slots:
		return "slots"
	}
	return strconv.Itoa(n)
}

func rateText(r refcache.Rate) string {
	switch {
	case r.N == 0:
		return noLimit
	case r.Burst > 1:
		return fmt.Sprintf("%s, burst %d", r, r.Burst)
	}
	return r.String()
}
