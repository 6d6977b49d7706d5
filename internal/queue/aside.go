package queue

import (
	_ "embed"
	"slices"
	"sync"

	"github.com/refq/refq/internal/store"
)

// A doorbell of a call that its taker does not know is set aside, in a list of those of that function and version, where only
// those take it who know these. The doorbell stays one of asynq's: its hash says that it is pending.

//go:embed set_aside.lua
var setAsideText string

//go:embed drop_gone.lua
var dropGoneText string

func asideList(queue, name string) string { return store.AsideKey(queue) + ":" + name }

// HashPrefix is what the keys of the hashes of a queue's doorbells begin with. asynq's id follows.
func HashPrefix(queue string) string { return keyPrefix(queue) + "t:" }

// asides are the names under which doorbells are set aside for this worker, as far as it has heard, and those of its functions that
// are paused. The lists of the others are taken from in turn with asynq's own, so that neither starves the other. It may be used
// concurrently.
type asides struct {
	mu     sync.Mutex
	names  []string       // that have not turned out to be empty, the next one first; none is paused
	heard  map[string]int // how often each was heard of
	asynqs bool           // the list chosen last was asynq's
	paused []string       // what the worker takes for functions that it does not know
}

// hear adds a name. False: it is paused, and was not added.
func (a *asides) hear(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Contains(a.paused, name) {
		return false
	}
	if a.heard == nil {
		a.heard = map[string]int{}
	}
	a.heard[name]++
	if !slices.Contains(a.names, name) {
		a.names = append(a.names, name)
	}
	return true
}

// choice is a list to take from.
type choice struct {
	name   string // empty: asynq's list
	heard  int    // how often the name had been heard of
	paused string // what was paused then, as [store.PausedNames]
}

// choose returns the list whose turn it is.
func (a *asides) choose() choice {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asynqs = !a.asynqs || len(a.names) == 0
	if a.asynqs {
		return choice{paused: store.PausedNames(a.paused)}
	}
	name := a.names[0]
	a.names = append(a.names[1:], name)
	return choice{name, a.heard[name], store.PausedNames(a.paused)}
}

// wasEmpty drops the name of a list, unless it was heard of since the list was chosen.
func (a *asides) wasEmpty(c choice) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.heard[c.name] == c.heard {
		a.names = slices.DeleteFunc(a.names, func(name string) bool { return name == c.name })
	}
}

// any reports whether there are names.
func (a *asides) any() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.names) > 0
}

// all returns the names.
func (a *asides) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.names)
}

// pause says which functions are paused from now on.
func (a *asides) pause(names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.paused = names
	a.names = slices.DeleteFunc(a.names, func(name string) bool { return slices.Contains(names, name) })
}

// pausedNames are the functions that are paused.
func (a *asides) pausedNames() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.paused
}
