package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// SetGate has a gate of a queue go by a setting for a time, 0: until it is reset. It answers false if there is no such gate.
// The rate of the setting has its burst.
func (s *Store) SetGate(ctx context.Context, queue, gate string, set monitor.GateSetting, d time.Duration, by string) (
	known bool, err error) {
	lasts := ""
	if d > 0 {
		lasts = strconv.FormatInt(max(1, d.Milliseconds()), 10)
	}
	return s.setGate(ctx, "set", queue, gate, packSetting(set), lasts, by)
}

// ResetGate has a gate go by what workers declare. It answers false if there is no such gate.
func (s *Store) ResetGate(ctx context.Context, queue, gate string) (known bool, err error) {
	return s.setGate(ctx, "reset", queue, gate, "", "", "")
}

func (s *Store) setGate(ctx context.Context, what, queue, gate, set, lasts, by string) (known bool, err error) {
	values, err := s.onQueue(ctx, setGateScript(), queue, gate, set, lasts, by).Slice()
	if err != nil {
		return false, fmt.Errorf("%s gate %s of queue %s: %w", what, gate, queue, foreign(err, queue))
	}
	answer := reply(values)
	s.letIn(ctx, queue, answer.at(1))
	return answer.int(0) == 1, nil
}

// packSetting is what an operator sets, as numbers are packed: a word is empty where it is as declared.
func packSetting(set monitor.GateSetting) string {
	word := func(n *int) string {
		if n == nil {
			return ""
		}
		return strconv.Itoa(*n)
	}
	interval, burst := "", ""
	if r := set.Rate; r != nil {
		interval, burst = strconv.FormatInt(r.Interval().Microseconds(), 10), strconv.Itoa(r.Burst)
	}
	return strings.Join([]string{word(set.Each), word(set.All), interval, burst, word(set.MostWaiting)}, ",")
}

// parseSetting reads what packSetting wrote. What is no number is as declared.
func parseSetting(text string) (set monitor.GateSetting) {
	words := append(strings.Split(text, ","), make([]string, 5)...)
	number := func(i int) *int {
		n, err := strconv.Atoi(words[i])
		if err != nil {
			return nil
		}
		return &n
	}
	set.Each, set.All, set.MostWaiting = number(0), number(1), number(4)
	if interval := number(2); interval != nil {
		set.Rate = new(rateOf(time.Duration(*interval) * time.Microsecond))
		if burst := number(3); burst != nil && *interval > 0 {
			set.Rate.Burst = *burst
		}
	}
	return set
}

// Gates tells of the gates of a queue how they stand, by name. It changes nothing, and is one command where there are none.
func (s *Store) Gates(ctx context.Context, queue string) ([]monitor.GateState, error) {
	values, err := s.onQueue(ctx, gatesReadScript(), queue).Slice()
	if err != nil {
		return nil, fmt.Errorf("look at the gates of queue %s: %w", queue, foreign(err, queue))
	}
	answer := reply(values)
	told, _ := answer.at(1).([]any)
	gates := make([]monitor.GateState, len(told))
	for i, gate := range told {
		gates[i] = gateState(queue, answer.int(0), gate)
	}
	return gates, nil
}

// KeyPosition is where a walk through the keys of a gate stands: at the last one seen.
type KeyPosition struct {
	Key     string
	Waiting int // calls that waited for it
}

// Gate tells of one gate how it stands, and of up to n of its keys from a position on, nil being the start: those first that
// most calls wait for, then those for which none waits, by name, of the first 1,000 calls that were let in. It answers false
// if there is no such gate.
func (s *Store) Gate(ctx context.Context, queue, gate string, from *KeyPosition, n int) (
	state monitor.GateState, keys []monitor.GateKey, known bool, err error) {
	waiting, last := "", ""
	if from != nil {
		waiting, last = strconv.Itoa(from.Waiting), escapeTurn(from.Key)
	}
	values, err := s.onQueue(ctx, gateReadScript(), queue, gate, n, waiting, last, s.flag(queue)).Slice()
	if err != nil {
		return state, nil, false, fmt.Errorf("look at gate %s of queue %s: %w", gate, queue, foreign(err, queue))
	}
	if len(values) == 0 {
		return state, nil, false, nil
	}
	answer := reply(values)
	told, _ := answer.at(2).([]any)
	for i := 0; i+gateKeyWords <= len(told); i += gateKeyWords {
		keys = append(keys, gateKey(queue, gate, told[i:i+gateKeyWords]))
	}
	return gateState(queue, answer.int(0), answer.at(1)), keys, true, nil
}

// gateState reads a gate as told_of tells of it at a time.
func gateState(queue string, now int64, told any) monitor.GateState {
	values, _ := told.([]any)
	t := reply(values)
	g := monitor.GateState{Queue: queue, Name: t.text(0), Limit: int(t.int(3)), Running: int(t.int(4)), Waiting: int(t.int(5)),
		Keys: int(t.int(6)), Oldest: millis(t.int(7)), Stalled: millis(t.int(8)), ClosedKey: plainWord(t.text(9))}
	if at, closed := t.at(10).(int64); closed {
		g.Closed = new(millis(now - at))
	}
	g.Partial = t.int(11) == 1
	g.Numbers = numbersFrom(t.at(2)).gate(g.Name)
	values, _ = t.at(1).([]any)
	stored := reply(values)
	if text := stored.text(0); text != "" {
		at, _ := strconv.ParseInt(stored.text(1), 10, 64)
		g.Declared = &monitor.GateDeclared{Numbers: parseNumbers(text).gate(g.Name), At: time.UnixMilli(at), By: stored.text(2)}
	}
	until := instant(stored.at(4))
	if text := stored.text(3); text != "" && (until == nil || until.UnixMilli() > now) {
		g.Set = &monitor.GateSet{GateSetting: parseSetting(text), Until: until, By: stored.text(5)}
		if at := instant(stored.at(6)); at != nil {
			g.Set.At = *at
		}
	}
	g.Paused = pauseNoted(refcache.Pause{Queue: queue, Gate: g.Name}, t.at(12))
	return g
}

// gateKeyWords is how many values tell of a key.
const gateKeyWords = 11

func gateKey(queue, gate string, told reply) monitor.GateKey {
	key := plainWord(told.text(0))
	nobody := heldUp(queue, told.text(9), told.at(10))
	return monitor.GateKey{Key: key, Running: int(told.int(1)), Waiting: int(told.int(2)), Oldest: millis(told.int(3)),
		Reason: refcache.TurnReason(told.text(4)), NextStartAt: instant(told.at(5)), ClosedUntil: instant(told.at(6)),
		ClosedAt: instant(told.at(7)), Paused: pauseNoted(refcache.Pause{Queue: queue, Gate: gate, Key: &key}, told.at(8)),
		Unserved: nobody.Lacks, Message: nobody.String()}
}

// pauseNoted reads the note of a pause; nil if there is none.
func pauseNoted(p refcache.Pause, note any) *refcache.Pause {
	if note == nil {
		return nil
	}
	text, _ := note.(string)
	return new(parsePause(p, text))
}

// instant reads a time in ms, by Redis's clock; nil if it is none.
func instant(value any) *time.Time {
	ms, ok := value.(int64)
	if text, isText := value.(string); isText {
		n, err := strconv.ParseInt(text, 10, 64)
		ms, ok = n, err == nil
	}
	if !ok {
		return nil
	}
	return new(time.UnixMilli(ms))
}
