package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/refq/refq/refcache"
)

const (
	slots    = "slots"
	wantAll  = "a whole number, 0 (no limit) or more, or slots"
	wantRate = "a rate like 20/s, 100/m or 5/10s"
)

// gateKeys may stand in an entry of gates:. What they mean together, Func.Policy checks.
var gateKeys = []key[refcache.Gate]{
	{"each", "a whole number, 0 (no limit) or more", func(g *refcache.Gate, s string) bool { return setWhole(&g.Each, s, 0) }},
	{"all", wantAll, func(g *refcache.Gate, s string) bool { return setAll(&g.All, s) }},
	{"rate", wantRate, func(g *refcache.Gate, s string) bool { return setRate(&g.Rate, s) }},
	{"burst", "a whole number, at least 1", func(g *refcache.Gate, s string) bool { return setWhole(&g.Rate.Burst, s, 1) }},
	{"most_waiting", "a whole number, 0 (no limit) or more", func(g *refcache.Gate, s string) bool { return setWhole(&g.MostWaiting, s, 0) }},
}

// turnKeys may stand in turn: of a function.
var turnKeys = []string{"key", "share", "ahead"}

func setAll(to *int, text string) bool {
	if text == slots {
		*to = refcache.Slots
		return true
	}
	return setWhole(to, text, 0)
}

// ParseAll reads how many calls of all keys of a gate may run at the same time, as in config.yaml.
func ParseAll(text string) (all int, err error) {
	if !setAll(&all, text) {
		return 0, fmt.Errorf("%s is not %s", shown(text), wantAll)
	}
	return all, nil
}

// ParseRate reads a rate as in config.yaml, or 0 for none.
func ParseRate(text string) (r refcache.Rate, err error) {
	if text != "0" && !setRate(&r, text) {
		return refcache.Rate{}, fmt.Errorf("%s is not %s, or 0 (no limit)", shown(text), wantRate)
	}
	return r, nil
}

// setRate reads starts in a time: a unit alone stands for one of it.
func setRate(to *refcache.Rate, text string) bool {
	starts, per, found := strings.Cut(text, "/")
	if strings.Trim(per, "hms") == "" {
		per = "1" + per
	}
	d, err := time.ParseDuration(per)
	to.Per = d
	return found && err == nil && d > 0 && setWhole(&to.N, starts, 1)
}

func (r *functionReader) readGates(e entry) error {
	entries, err := e.children("gates.")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if r.gates[e.key], err = readGate(e); err != nil {
			return err
		}
	}
	return nil
}

func readGate(e entry) (refcache.Gate, error) {
	g := refcache.Gate{Name: e.key}
	if err := checkedGate(g); err != nil {
		return g, e.refuse(err)
	}
	entries, err := e.children("gates." + e.key + ".")
	if err != nil {
		return g, err
	}
	for _, e := range entries {
		i := slices.IndexFunc(gateKeys, func(k key[refcache.Gate]) bool { return k.name == e.key })
		if i < 0 {
			return g, e.unknownKey(names(gateKeys))
		}
		text, err := e.text(gateKeys[i].want)
		if err != nil {
			return g, err
		}
		if err := gateKeys[i].apply(&g, e.key, text); err != nil {
			return g, e.fail(err)
		}
	}
	if err := checkedGate(g); err != nil {
		return g, e.fail(fmt.Errorf("%s.%w", e.key, errors.Unwrap(err)))
	}
	return g, nil
}

// checkedGate is what is wrong with a gate, behind its name if that is right.
func checkedGate(g refcache.Gate) error { return checked(Func{Name: "alone", Gate: g}) }

// readGated takes over gate: and turn: of a function.
func (r *functionReader) readGated(f *Func, e entry) error {
	if e.key == "turn" {
		return readTurn(f, e)
	}
	name, err := e.text("a name of gates:")
	if err != nil {
		return err
	}
	gate, known := r.gates[name]
	if !known {
		return e.fail(fmt.Errorf("gate is %s, must be one of gates:%s", shown(name), r.gateHint(name)))
	}
	f.Gate = gate
	return nil
}

func (r *functionReader) gateHint(name string) string {
	known := slices.Sorted(maps.Keys(r.gates))
	switch near := Nearest(name, known); {
	case len(known) == 0:
		return " (there are none)"
	case near != "":
		return " (did you mean " + near + "?)"
	}
	return " (known are " + strings.Join(known, ", ") + ")"
}

func readTurn(f *Func, e entry) error {
	entries, err := e.children(e.scope + "turn.")
	if err != nil {
		return err
	}
	for _, child := range entries {
		if err := readTurnKey(&f.TurnFields, child); err != nil {
			return err
		}
		if err := checked(Func{Name: "alone", Gate: refcache.Gate{Name: "alone"}, TurnFields: f.TurnFields}); err != nil {
			child.scope = e.scope
			return child.fail(err) // which begins with turn
		}
	}
	return nil
}

func readTurnKey(fields *refcache.TurnFields, e entry) (err error) {
	switch e.key {
	case "key":
		fields.Key, err = e.pointers()
	case "share":
		fields.Share, err = e.pointers()
	case "ahead":
		var text string
		if text, err = e.text(wantDuration); err != nil {
			return err
		}
		if fields.Ahead, err = ParseDuration(text); err != nil {
			return e.mustBe(wantDuration)
		}
	default:
		return e.unknownKey(turnKeys)
	}
	return err
}

// pointers returns a JSON Pointer, or a list of them.
func (e entry) pointers() ([]string, error) {
	const want = "a JSON Pointer like /host, or a list like [/host, /port]"
	if !e.isList() {
		text, err := e.text(want)
		return []string{text}, err
	}
	texts, err := e.texts(want)
	if err == nil && len(texts) == 0 {
		err = e.mustBe(want)
	}
	return texts, err
}

// checkShared refuses the last of the functions if it has a gate in another queue than those before.
func checkShared(functions []Function) error {
	last := functions[len(functions)-1].Func
	for _, other := range functions[:len(functions)-1] {
		mine, theirs := queueOf(last), queueOf(other.Func)
		if last.Gate.Name != "" && last.Gate.Name == other.Func.Gate.Name && mine != theirs {
			return fmt.Errorf("gate is %s, which %s has in queue %s, and %s in queue %s: the functions of a gate share a queue",
				last.Gate.Name, other.Func.Name, theirs, last.Name, mine)
		}
	}
	return nil
}

func queueOf(f Func) string {
	p, _ := f.Policy() // which was checked
	return p.Queue
}

// RateText is a rate as it may stand in config.yaml; empty without one.
func RateText(r refcache.Rate) string {
	if r.N == 0 {
		return ""
	}
	return r.String()
}
