package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/refq/refq/refcache"
)

// Turn is where a call stands in the line of a gate. The zero Turn is that of a call without a gate.
type Turn struct {
	Gate  string // its name
	Key   string // escaped, as NewTurn does
	Share string // escaped
	Ahead time.Duration
}

// String names the line: "gate maps", or "key a.example of gate maps".
func (t Turn) String() string {
	if t.Key == "" {
		return "gate " + t.Gate
	}
	return fmt.Sprintf("key %s of gate %s", refcache.QuoteKey(plainWord(t.Key)), t.Gate)
}

// maxTurnWord is how many bytes an escaped key or share may have.
const maxTurnWord = 96

// NewTurn escapes key and share, which may be any text. Ahead is cut to whole ms.
func NewTurn(gate, key, share string, ahead time.Duration) Turn {
	return Turn{gate, escapeTurn(key), escapeTurn(share), ahead.Truncate(time.Millisecond)}
}

// escapeTurn makes a text part of keys in Redis. A hash replaces the end of a long one.
func escapeTurn(text string) string {
	escaped := strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
	if len(escaped) <= maxTurnWord {
		return escaped
	}
	sum := sha256.Sum256([]byte(text))
	const hashed = 32
	kept := maxTurnWord - hashed
	if cut := strings.LastIndexByte(escaped[:kept], '%'); cut > kept-len("%2F") {
		kept = cut // not through the middle of a byte
	}
	return escaped[:kept] + hex.EncodeToString(sum[:hashed/2])
}

// pack is the field turn of a record as a submission gives it: the scripts add when the call was made.
func (t Turn) pack() string {
	if t.Gate == "" {
		return ""
	}
	return fmt.Sprintf("%s/%s/%s/%d", t.Gate, t.Key, t.Share, t.Ahead.Milliseconds())
}

// parseTurn reads the field turn. What is none is the zero Turn.
func parseTurn(text string) Turn {
	words := strings.Split(text, "/")
	if len(words) < 4 {
		return Turn{}
	}
	ahead, _ := strconv.ParseInt(words[3], 10, 64)
	return Turn{words[0], words[1], words[2], time.Duration(ahead) * time.Millisecond}
}

// stands reads what the script read tells of that.
func stands(answer any) *refcache.TurnInfo {
	values, _ := answer.([]any)
	if len(values) == 0 {
		return nil
	}
	told := reply(values)
	info := &refcache.TurnInfo{Gate: told.text(0), Key: plainWord(told.text(1)), Share: plainWord(told.text(2)), Position: int(told.int(3)),
		Running: int(told.int(4)), Limit: int(told.int(5)), Reason: refcache.TurnReason(told.text(6))}
	if next := told.int(7); next > 0 {
		info.NextStartAt = new(time.UnixMilli(next))
	}
	return info
}

// Where the notes of the pauses of a gate and of a key of it stand in what the script read tells of a turn, and in what submit does.
// In both the gate comes first, and the key behind it.
const (
	pausesInRead   = 8
	pausesInSubmit = 2
)

// pauseOfTurn is the pause of the gate, or else of the key, that holds up a task, by what a script tells of its turn; nil if neither is
// paused.
func pauseOfTurn(queue string, answer any, at int) *refcache.Pause {
	values, _ := answer.([]any)
	told := reply(values)
	ofGate, ofKey := told.at(at), told.at(at+1)
	if ofGate != nil {
		return pauseNoted(refcache.Pause{Queue: queue, Gate: told.text(0)}, ofGate)
	}
	return pauseNoted(refcache.Pause{Queue: queue, Gate: told.text(0), Key: new(plainWord(told.text(1)))}, ofKey)
}

// plainWord is a key or a share as it was before it was escaped, but for what was cut off. Escaped again it is the same.
func plainWord(escaped string) string {
	if plain, err := url.PathUnescape(escaped); err == nil {
		return plain
	}
	return escaped
}

// WaitsFor is what the task waits for, if its status is waiting.
func (r Record) WaitsFor() refcache.WaitsFor {
	if r.Status != refcache.Waiting {
		return ""
	}
	return refcache.WaitsTurn
}

// standing is a sentence on where the task stands, as far as that was told, without its end; empty if it does not wait for its turn.
func (r Record) standing() string {
	switch {
	case r.Stands != nil:
		return r.Stands.String()
	case r.Status == refcache.Waiting && r.Turn.Gate != "":
		return refcache.TurnInfo{Gate: r.Turn.Gate, Key: plainWord(r.Turn.Key)}.String()
	}
	return ""
}

// GateNumbers are the limits of a gate. Zero means no limit.
type GateNumbers struct {
	Each        int           // calls of a key at the same time
	All         int           // calls of all keys at the same time; AllSlots: as the living workers have slots, and a quarter more
	Interval    time.Duration // between two starts of a key, on average: whole µs
	Burst       int           // starts of a key that may come together; at least 1 beside an Interval
	MostWaiting int           // calls of a key that may wait
}

const (
	minSlots        = 4                     // calls that a gate limited by slots lets in at least
	moreSlots       = 1.25                  // as many as there are slots, and a quarter: doorbells are under way
	maxGates        = 1000                  // of a queue for which calls wait
	maxWaitingKeys  = 100_000               // of a gate
	admittedFor     = time.Second           // later a claim asks the rate again, so that what was held up does not bunch
	lateFor         = 25 * time.Millisecond // a start that the rate had let go before counts as on time
	dueTried        = 100                   // keys that are tried at once
	maxLetIn        = 200                   // calls that a script lets in
	closedKept      = time.Hour             // that a key which was closed and is not called any more stays so
	seenAgain       = time.Hour             // until it is noted again that a gate is declared
	gateKept        = 7 * 24 * time.Hour    // a gate that nobody declares
	sharesTold      = 100                   // of a key, that count for a position
	slotsCounted    = 1000                  // workers whose slots are added up
	countSlotsEvery = 5 * time.Second
)

// What those who look at gates look at, for a cost that does not grow with what waits.
const (
	roomFor      = 5 * time.Second // that a call could have started: longer than sweeps take to let it in
	callsLooked  = 100             // of a queue, that wait
	keysCounted  = 10_000          // whose calls are added up, of all gates together
	keysLooked   = 200             // whose next calls are looked at
	sharesLooked = 4               // of a key
	heldLooked   = 1000            // permits of a gate, for their keys
)

// TellDue is how soon a key must be freed for a worker to be told of it: sweeps see to what is later.
const TellDue = 1500 * time.Millisecond

// AllSlots as [GateNumbers].All limits a gate by the slots of the living workers.
const AllSlots = -1

// pack is how a gate's numbers are written: each, all, interval in µs, burst, most_waiting.
func (n GateNumbers) pack() string {
	return fmt.Sprintf("%d,%d,%d,%d,%d", n.Each, n.All, n.Interval.Microseconds(), n.Burst, n.MostWaiting)
}
