package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// ErrNoGate: there is no such gate. One is there when workers have declared it within 7 days, or calls wait for it.
var ErrNoGate = errors.New("no such gate")

// ErrInvalidSetting: no gate can be set so. What wraps it names the field and the value.
var ErrInvalidSetting = errors.New("invalid setting")

// Gates tells how the gates of the queues named stand, by queue and name; those of all queues that were ever used when none
// is named. They are of all namespaces. What it costs does not grow with what waits: of a queue it looks at 1,000 gates at
// most. With a *monitor.PartialError the gates are those of the other queues.
func (a *Admin) Gates(ctx context.Context, queues ...string) ([]monitor.GateState, error) {
	if err := a.checkNamed(queues); err != nil {
		return nil, err
	}
	found, err := store.InQueues(ctx, a.store, queues, a.gatesIn)
	var all []monitor.GateState
	for _, queue := range found {
		all = append(all, queue.Told...)
	}
	return all, err
}

func (a *Admin) gatesIn(ctx context.Context, queue string) ([]monitor.GateState, error) {
	gates, err := a.store.Gates(ctx, queue)
	if err == nil {
		err = a.addDeclared(ctx, queue, gates)
	}
	return gates, err
}

// addDeclared adds to gates of a queue what living workers declare.
func (a *Admin) addDeclared(ctx context.Context, queue string, gates []monitor.GateState) error {
	if len(gates) == 0 {
		return nil
	}
	declared, complete, err := a.change.Declared.Gates(ctx, queue)
	if err != nil {
		return err
	}
	for i, g := range gates {
		numbers := declared[g.Name]
		gates[i].Undeclared = complete && len(numbers) == 0
		if len(numbers) > 1 {
			gates[i].Differing = slices.Clone(numbers)
		}
	}
	return nil
}

// GatePage is how a gate stands, with some of its keys.
type GatePage struct {
	Gate monitor.GateState
	Keys []monitor.GateKey
	Next Cursor // where the next page starts; empty: there is none
}

// Gate tells how a gate stands, and of up to n of its keys, from a cursor on; n below 1 counts as 1. Those come first that
// most calls wait for. Those follow, by name, for which none waits, of the first 1,000 calls that were let in. A key whose
// calls come and go between two pages may be missed, or told twice. The error is ErrNoGate, which names those that there
// are, or ErrInvalidCursor.
func (a *Admin) Gate(ctx context.Context, queue, gate string, from Cursor, n int) (GatePage, error) {
	position, err := parseKeyCursor(from)
	if err == nil {
		err = a.checkGate(queue)
	}
	if err != nil {
		return GatePage{}, err
	}
	n = max(1, n)
	state, keys, known, err := a.store.Gate(ctx, queue, gate, position, n+1)
	if err != nil {
		return GatePage{}, err
	}
	if !known {
		return GatePage{}, a.noGate(ctx, queue, gate)
	}
	one := []monitor.GateState{state}
	if err := a.addDeclared(ctx, queue, one); err != nil {
		return GatePage{}, err
	}
	page := GatePage{Gate: one[0], Keys: keys}
	if len(keys) > n {
		page.Keys, page.Next = keys[:n], keyCursor(keys[n-1])
	}
	return page, nil
}

// SetGate has a gate go by a setting in place of what workers declare: for a time, or until it is reset if that is 0. What
// the setting leaves out is as declared, also what was set before. The burst of a rate is that of [refcache.Rate] if it is
// 0. Calls that may start by the new limits do so at once. Lower ones stop nothing that runs.
//
// The error is ErrNoGate, which names those that there are, or ErrInvalidSetting, for one that could be no declaration's or
// is empty.
func (a *Admin) SetGate(ctx context.Context, queue, gate string, set monitor.GateSetting, lasts time.Duration) error {
	err := a.checkGate(queue)
	if err == nil {
		set, err = checkSetting(gate, set)
	}
	switch {
	case err != nil:
		return err
	case lasts < 0 || lasts > refcache.MaxDelay:
		return fmt.Errorf("%w: gate %s: for is %v, must be 0 (until it is reset) to 100 years", ErrInvalidSetting, gate, lasts)
	}
	known, err := a.store.SetGate(ctx, queue, gate, set, lasts, a.change.By)
	if err == nil && !known {
		err = a.noGate(ctx, queue, gate)
	}
	return err
}

// ResetGate has a gate go by what workers declare. The error is ErrNoGate, which names those that there are.
func (a *Admin) ResetGate(ctx context.Context, queue, gate string) error {
	if err := a.checkGate(queue); err != nil {
		return err
	}
	known, err := a.store.ResetGate(ctx, queue, gate)
	if err == nil && !known {
		err = a.noGate(ctx, queue, gate)
	}
	return err
}

func (a *Admin) checkGate(queue string) error {
	if err := a.checkMade(); err != nil {
		return err
	}
	return refcache.CheckQueue(queue)
}

// checkSetting refuses what no declaration could have, and fills in the burst.
func checkSetting(gate string, set monitor.GateSetting) (monitor.GateSetting, error) {
	if set == (monitor.GateSetting{}) {
		return set, fmt.Errorf("%w: gate %.130s: nothing is set: name each, all, rate or most_waiting, or reset it", ErrInvalidSetting, gate)
	}
	alone := refcache.Gate{Name: gate}
	for to, from := range map[*int]*int{&alone.Each: set.Each, &alone.All: set.All, &alone.MostWaiting: set.MostWaiting} {
		if from != nil {
			*to = *from
		}
	}
	if set.Rate != nil {
		alone.Rate = *set.Rate
	}
	policy, err := refcache.Func[struct{}, struct{}]{Name: "alone", Gate: alone}.Policy()
	if err != nil {
		return set, fmt.Errorf("%w: %w", ErrInvalidSetting, errors.Unwrap(err)) // without the function
	}
	if set.Rate != nil {
		set.Rate = &policy.Gate.Rate
	}
	return set, nil
}

// noGate is ErrNoGate with the names of those that there are.
func (a *Admin) noGate(ctx context.Context, queue, gate string) error {
	gates, err := a.store.Gates(ctx, queue)
	if err != nil {
		return err
	}
	const most = 20
	var names []string
	for _, g := range gates[:min(len(gates), most)] {
		names = append(names, g.Name)
	}
	there := "has no gate"
	if len(names) > 0 {
		there = "has " + strings.Join(names, ", ")
	}
	if len(gates) > most {
		there += fmt.Sprintf(" and %d more", len(gates)-most)
	}
	return fmt.Errorf("%w: %.130q: queue %s %s", ErrNoGate, gate, queue, there)
}

// keyCursor is the Cursor behind a key.
func keyCursor(k monitor.GateKey) Cursor {
	return Cursor(base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", k.Waiting, k.Key)))
}

// parseKeyCursor is nil at the start.
func parseKeyCursor(c Cursor) (*store.KeyPosition, error) {
	if c == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(string(c))
	waiting, key, found := strings.Cut(string(text), " ")
	n, invalid := strconv.Atoi(waiting)
	if err != nil || !found || invalid != nil || n < 0 {
		return nil, ErrInvalidCursor
	}
	return &store.KeyPosition{Key: key, Waiting: n}, nil
}
