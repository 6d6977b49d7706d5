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
// are paused, or that it cannot run now. The lists of the others are taken from in turn with asynq's own, so that neither starves the other. It may be used
// concurrently.
type asides struct {
	mu     sync.Mutex
	names  []string       // that have not turned out to be empty, the next one first; none is held up
	heard  map[string]int // how often each was heard of
	asynqs bool           // the list chosen last was asynq's

	// What the worker takes for functions that it does not know.
	paused  []string // by people
	unready []string // for what the worker cannot have
	heldUp  []string // both
}

// hear adds a name. False: it is held up, and was not added.
func (a *asides) hear(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Contains(a.heldUp, name) {
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
	heldUp string // what was held up then, as [store.PausedNames]
}

// choose returns the list whose turn it is.
func (a *asides) choose() choice {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asynqs = !a.asynqs || len(a.names) == 0
	if a.asynqs {
		return choice{heldUp: store.PausedNames(a.heldUp)}
	}
	name := a.names[0]
	a.names = append(a.names[1:], name)
	return choice{name, a.heard[name], store.PausedNames(a.heldUp)}
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

// pause says which functions are paused from now on. It returns those that were before.
func (a *asides) pause(names []string) (before []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, a.paused = a.paused, names
	a.holdUp()
	return before
}

// lack says which functions the worker cannot run from now on.
func (a *asides) lack(names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unready = names
	a.holdUp()
}

// holdUp has the functions that are paused or unready not started. The caller holds a.mu.
func (a *asides) holdUp() {
	a.heldUp = slices.Concat(a.paused, without(a.unready, a.paused))
	a.names = without(a.names, a.heldUp)
}

// notStarted are the functions that are held up.
func (a *asides) notStarted() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.heldUp
}
