package store_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The search looks at every state that the protocol of gates can reach with few calls, few workers and few faults. It is written
// from docs/protocol.md alone: it knows no script. The scripts are compared with the same laws by TestTurnsWhateverHappens.

// searchStates is how many states a search goes through. All of them, some millions, take minutes.
var searchStates = flag.Int("search.states", 20_000, "how many states a search of the protocol goes through, the nearest first; 0: all")

// searchFaults is how many faults may come one after the other.
const searchFaults = 2

// TestEveryStateOfGatesKeepsTheLaws goes from state to state. In each the laws hold, and from each, once faults are over, all calls
// end that a living worker knows.
func TestEveryStateOfGatesKeepsTheLaws(t *testing.T) {
	for _, setup := range searchSetups {
		t.Run(setup.name, func(t *testing.T) {
			states, wrong := search(setup, planted(""))
			require.Empty(t, wrong)
			t.Logf("%d states", states)
		})
	}
}

// TestTheSearchFindsPlantedFaults takes a rule out of the protocol, each in turn.
func TestTheSearchFindsPlantedFaults(t *testing.T) {
	for _, fault := range plantedFaults {
		t.Run(string(fault), func(t *testing.T) {
			for _, setup := range searchSetups {
				if _, wrong := search(setup, fault); wrong != "" {
					t.Log(wrong)
					return
				}
			}
			assert.Fail(t, "no state shows it")
		})
	}
}

// planted names a rule that is left out.
type planted string

const (
	noPermitBackAside  planted = "setting aside keeps a permit that nobody can use"
	noPermitBackSweep  planted = "sweeps keep a permit that nobody can use"
	noPermitBackCancel planted = "cancel admits nothing"
	noAdmitFinish      planted = "finish admits nothing"
	noLooksAside       planted = "idle workers and beats do not look at what is aside"
	noDue              planted = "sweeps do not try what is due"
	noGateAtClaim      planted = "claim runs what has no permit"
	noPauseAtClaim     planted = "claim does not look at a pause"
	noReadySweep       planted = "resume admits nothing, nor do sweeps"
	noHalfOpen         planted = "a closed key opens for all at once"
	noClosedAtClaim    planted = "claim does not look whether the key is closed"
	opensAnyhow        planted = "a call that was under way opens a closed key"
	noEnter            planted = "a record without a turn runs as it is"
	noUndeclared       planted = "sweeps leave what waits for a gate that left the code"
)

var plantedFaults = []planted{noPermitBackAside, noPermitBackSweep, noPermitBackCancel, noAdmitFinish, noLooksAside, noDue,
	noGateAtClaim, noPauseAtClaim, noReadySweep, noHalfOpen, noClosedAtClaim, opensAnyhow,
	noEnter, noUndeclared}

// searchSetup is what stays the same in a search.
type searchSetup struct {
	name       string
	calls      [searchCalls]searchCall // as they are before they are made
	each, all  int
	rate       bool // a key may start one call between two ticks
	undeclared bool // the gate may leave the code
}

const (
	searchCalls   = 3
	searchKeys    = 2
	searchWorkers = 2 // each knows the function of its number
)

var searchSetups = []searchSetup{
	{name: "one key, two functions", calls: [searchCalls]searchCall{{function: 0}, {function: 1}, {function: 1}}, each: 1, all: 2},
	{name: "two keys of one gate", calls: [searchCalls]searchCall{{function: 1}, {function: 1, key: 1}, {function: 0, key: 1}}, each: 1, all: 1},
	{name: "rates", calls: [searchCalls]searchCall{{function: 1}, {function: 1}, {function: 1, key: 1}}, each: 0, all: 2, rate: true},
	{name: "two of a key", calls: [searchCalls]searchCall{{function: 1}, {function: 1}, {function: 1}}, each: 2, all: 2},
	{name: "an old producer", calls: [searchCalls]searchCall{{function: 1, plain: true}, {function: 1}, {function: 1}}, each: 1, all: 2},
	{name: "the gate leaves", calls: [searchCalls]searchCall{{function: 1}, {function: 1}, {function: 1}}, each: 1, all: 1, undeclared: true},
}

// searchState is a state of everything. It is compared by value.
type searchState struct {
	calls   [searchCalls]searchCall
	keys    [searchKeys]searchKey
	workers [searchWorkers]searchWorker
	paused  bool // the gate is
	left    bool // no worker declares the gate any more
	faults  uint8
}

type searchStatus uint8

const (
	unmade searchStatus = iota
	isWaiting
	isPending
	isProcessing
	isRetrying // and due
	hasEnded
)

type searchCall struct {
	function, key int8
	plain         bool // without a turn
	status        searchStatus
	retried       bool
	held          bool
	listed        bool // a doorbell is in asynq's list
	aside         bool // a doorbell is set aside
	by            int8 // who runs it
	entered       bool // the worker has looked at its gate
	tries         bool // it was started when its key was half open
}

type searchKey struct {
	paused bool
	closed uint8 // 0 open, 1 closed, 2 half open
	spent  bool  // of its rate nothing is left for admissions
	ran    bool  // as many have run as its rate allows
	ready  bool
	due    bool
}

type searchWorker struct {
	dead  bool // its process is gone
	knows bool // Redis knows of it
	idle  bool
	told  bool // of doorbells that are aside

}

// searcher applies the protocol to a state. Its methods are the scripts.
type searcher struct {
	searchState
	setup   searchSetup
	without planted
	rung    []int // calls that the sender of the last command is to ring for
}

func (s *searcher) running(key int8) (n int) {
	for _, c := range s.calls {
		if c.held && c.key == key {
			n++
		}
	}
	return n
}

func (s *searcher) runningAll() int { return s.running(0) + s.running(1) }

func (s *searcher) gateHasRoom() bool {
	return !s.left && !s.paused && s.runningAll() < s.setup.all
}

func (s *searcher) keyHasRoom(key int8) bool {
	k := s.keys[key]
	switch {
	case k.paused || k.closed == 1 || s.setup.rate && k.spent:
		return false
	case k.closed == 2 && s.running(key) > 0 && s.without != noHalfOpen:
		return false
	}
	return s.setup.each == 0 || s.running(key) < s.setup.each
}

func (s *searcher) waits(key int8) bool {
	for _, c := range s.calls {
		if c.status == isWaiting && c.key == key {
			return true
		}
	}
	return false
}

func (s *searcher) anyReady() bool { return s.keys[0].ready || s.keys[1].ready }

// place puts a key among those that could start, or among those that time frees.
func (s *searcher) place(key int8) {
	k := &s.keys[key]
	waits := s.waits(key)
	k.ready = waits && s.keyHasRoom(key)
	k.due = waits && !k.ready && (k.closed == 1 || s.setup.rate && k.spent)
}

func (s *searcher) holds(i int) {
	s.calls[i].held = true
	s.keys[s.calls[i].key].spent = s.setup.rate
}

// admit lets up to n calls in.
func (s *searcher) admit(n int) {
	for ; n > 0 && s.gateHasRoom() && s.anyReady(); n-- {
		key := int8(0)
		if !s.keys[0].ready {
			key = 1
		}
		for i := range s.calls {
			if c := &s.calls[i]; c.status == isWaiting && c.key == key {
				c.status = isPending
				s.holds(i)
				s.rung = append(s.rung, i)
				break
			}
		}
		s.place(key)
	}
}

// asks is whether a call may start now, before all that waits.
func (s *searcher) asks(i int) bool {
	key := s.calls[i].key
	return s.gateHasRoom() && s.keyHasRoom(key) && !s.waits(key) && !s.anyReady()
}

func (s *searcher) permitBack(i int, admits bool) {
	if !s.calls[i].held {
		return
	}
	s.calls[i].held = false
	s.place(s.calls[i].key)
	if admits {
		s.admit(2)
	}
}

// wait has a call wait. Where others of its key wait already, the key stays where it is: what time has freed meanwhile is tried by
// a sweep, or this call would be let in behind the back of who is to ring.
func (s *searcher) wait(i int) {
	c := &s.calls[i]
	first := !s.waits(c.key)
	c.status, c.by = isWaiting, 0
	if first {
		s.place(c.key)
	}
}

func (s *searcher) submit(i int) {
	c := &s.calls[i]
	switch {
	case c.plain:
		c.status, c.listed = isPending, true
	case s.asks(i):
		c.status, c.listed = isPending, true
		s.holds(i)
	default:
		s.wait(i)
	}
}

// claim answers a doorbell; late: its call was let in long ago.
func (s *searcher) claim(i int, worker int8, late bool) {
	c := &s.calls[i]
	if c.status != isPending && c.status != isRetrying {
		return
	}
	if !c.plain {
		key := &s.keys[c.key]
		stopped := s.paused || key.paused
		closed := key.closed == 1 || key.closed == 2 && s.running(c.key) > 1
		switch {
		case s.without == noGateAtClaim:
		case c.held && stopped && s.without == noPauseAtClaim:
		case c.held && closed && s.without == noClosedAtClaim:
		case c.held && (stopped || closed):
			s.wait(i)
			s.permitBack(i, true)
			return
		case c.held && late && s.setup.rate && key.ran:
			key.spent, c.listed = true, true // it is put off, and another start is given up for it
			s.place(c.key)
			return
		case !c.held && s.asks(i):
			s.holds(i)
		case !c.held:
			s.wait(i)
			return
		}
	}
	s.keys[c.key].ran = s.setup.rate
	c.status, c.by, c.entered, c.tries = isProcessing, worker, !c.plain, s.keys[c.key].closed == 2
}

// enter has a call that was claimed without a turn ask for one.
func (s *searcher) enter(i int) {
	c := &s.calls[i]
	c.entered = true
	if s.without == noEnter || s.left {
		return
	}
	c.plain = false
	if s.asks(i) {
		s.holds(i)
		return
	}
	s.wait(i)
}

func (s *searcher) knows(function int8) bool { return s.workers[function].knows }

// take answers the doorbell of a call in asynq's list.
func (s *searcher) take(i int, worker int8, late bool) {
	c := &s.calls[i]
	c.listed = false
	if c.function == worker || c.status != isPending && c.status != isRetrying {
		s.claim(i, worker, late)
		return
	}
	c.aside = true
	if !s.knows(c.function) && !c.plain && s.without != noPermitBackAside {
		s.permitBack(i, true)
	}
	if w := &s.workers[c.function]; w.idle {
		w.idle, w.told = false, true
	}
}

type searchOutcome string

const (
	completes   searchOutcome = "completes"
	fails       searchOutcome = "fails"
	released    searchOutcome = "is handed back"
	unavailable searchOutcome = "is unavailable"
)

func (s *searcher) finish(i int, o searchOutcome) {
	c := &s.calls[i]
	key := &s.keys[c.key]
	gated := !c.plain
	switch {
	case o == released:
		c.status, c.by, c.listed = isPending, 0, true
		return
	case o == unavailable:
		key.closed = 1
		s.wait(i)
		s.place(c.key)
	case o == fails && !c.retried:
		c.status, c.by, c.retried, c.listed = isRetrying, 0, true, true
	default:
		c.status, c.by = hasEnded, 0
		if o == completes && gated && (c.tries && key.closed == 2 || s.without == opensAnyhow) {
			key.closed = 0
		}
	}
	if gated {
		if s.without == noAdmitFinish {
			c.held = false
			s.place(c.key)
			return
		}
		s.place(c.key)
		s.permitBack(i, true)
		s.admit(2)
	}
}

func (s *searcher) cancel(i int) {
	c := &s.calls[i]
	waited := c.status == isWaiting
	c.status, c.by = hasEnded, 0
	switch {
	case c.plain:
	case waited && !s.waits(c.key):
		s.place(c.key)
	case !waited:
		s.permitBack(i, s.without != noPermitBackCancel)
	}
}

// redeliver takes a call from a worker that is dead.
func (s *searcher) redeliver(i int) {
	s.calls[i].status, s.calls[i].by = isPending, 0
}

func (s *searcher) pauseGate(paused bool) {
	s.paused = paused
	if !paused && s.without != noReadySweep {
		s.admit(searchCalls)
	}
}

func (s *searcher) pauseKey(key int8, paused bool) {
	s.keys[key].paused = paused
	s.place(key)
	if !paused && s.without != noReadySweep {
		s.admit(searchCalls)
	}
}

// sweep is all that a tick does.
func (s *searcher) sweep() {
	for i := range s.workers {
		if w := &s.workers[i]; w.dead {
			w.knows, w.idle, w.told = false, false, false
		}
	}
	for i := range s.calls {
		if c := s.calls[i]; c.status == isProcessing && s.workers[c.by].dead {
			s.redeliver(i)
			s.rung = append(s.rung, i)
		}
	}
	for i := range s.calls {
		c := &s.calls[i]
		if c.held && c.status == isPending && !s.knows(c.function) && s.without != noPermitBackSweep {
			s.permitBack(i, true)
		}
		if c.status == isWaiting && s.left && s.knows(c.function) && s.without != noUndeclared {
			c.status, c.plain = isPending, true
			s.place(c.key)
			s.rung = append(s.rung, i)
		}
	}
	if s.without != noDue {
		for key := range s.keys {
			if s.keys[key].due {
				s.place(int8(key))
			}
		}
	}
	if s.without != noReadySweep {
		s.admit(searchCalls)
	}
	for i, c := range s.calls {
		if (c.status == isPending || c.status == isRetrying) && !c.listed && !c.aside {
			s.rung = append(s.rung, i)
		}
		if w := &s.workers[c.function]; c.aside && w.idle {
			w.idle, w.told = false, true
		}
	}
}

// tick has time pass: rates and closed keys.
func (s *searcher) tick() {
	for key := range s.keys {
		k := &s.keys[key]
		k.spent, k.ran = false, false
		if k.closed == 1 {
			k.closed = 2
		}
	}
}

// looks has a worker look at what is aside for it.
func (s *searcher) looks(worker int) {
	for _, c := range s.calls {
		if c.aside && int(c.function) == worker && s.without != noLooksAside {
			s.workers[worker].told = true
		}
	}
}

func (s *searcher) ring() {
	for _, i := range s.rung {
		if c := &s.calls[i]; (c.status == isPending || c.status == isRetrying) && !c.aside {
			c.listed = true
		}
	}
	s.rung = nil
}

// law is what is wrong with the state; empty if nothing is.
func (s *searcher) law() string {
	for key := range searchKeys {
		key := int8(key)
		k := s.keys[key]
		if n := s.running(key); s.setup.each > 0 && n > s.setup.each {
			return fmt.Sprintf("%d calls of key %d have permits", n, key)
		}
		if n := s.executing(key); s.setup.each > 0 && n > s.setup.each {
			return fmt.Sprintf("%d calls of key %d run", n, key)
		}
		if k.closed == 2 && s.running(key) > 1 {
			return fmt.Sprintf("%d calls of key %d try whether it is open again", s.running(key), key)
		}
		if k.ready && s.gateHasRoom() {
			return fmt.Sprintf("key %d could start, and does not", key)
		}
		if s.waits(key) && !k.ready && !k.due && !k.paused && s.keyHasRoom(key) {
			return fmt.Sprintf("key %d waits, and nobody sees it", key)
		}
	}
	for i, c := range s.calls {
		switch {
		case c.held && c.status != isPending && c.status != isProcessing:
			return fmt.Sprintf("call %d has a permit and is not admitted", i)
		case !c.held && c.status == isProcessing && c.entered && !s.left:
			return fmt.Sprintf("call %d runs without a permit", i)
		}
	}
	return ""
}

func (s *searcher) executing(key int8) (n int) {
	for _, c := range s.calls {
		if c.status == isProcessing && c.key == key && c.entered && !c.plain {
			n++
		}
	}
	return n
}

// move is a step that the world may take.
type searchMove struct {
	says  string
	fault bool
	do    func(*searcher)
	after func(*searcher) string // a law about this step
}

// moves are the steps that may follow.
func (s *searcher) moves() (all []searchMove) {
	add := func(says string, do func(*searcher)) { all = append(all, searchMove{says: says, do: do}) }
	fault := func(says string, do func(*searcher)) { all = append(all, searchMove{says: says, do: do, fault: true}) }
	for i, c := range s.calls {
		if c.status == unmade {
			add(fmt.Sprintf("call %d is made", i), func(s *searcher) { s.submit(i) })
		}
		for worker := range s.workers {
			w := s.workers[worker]
			if w.dead || !w.knows {
				continue
			}
			if c.listed {
				for _, late := range []bool{false, true}[:1+b2i(s.setup.rate)] {
					all = append(all, searchMove{says: fmt.Sprintf("worker %d takes call %d", worker, i),
						do: func(s *searcher) { s.take(i, int8(worker), late) },
						after: func(s *searcher) string {
							if c := s.calls[i]; c.aside && c.held && !s.knows(c.function) {
								return fmt.Sprintf("call %d is set aside for nobody and keeps its permit", i)
							}
							if c := s.calls[i]; c.status == isProcessing && !c.plain && (s.paused || s.keys[c.key].paused) {
								return fmt.Sprintf("call %d starts while its gate is paused", i)
							}
							if c := s.calls[i]; c.status == isProcessing && !c.plain && s.keys[c.key].closed == 1 {
								return fmt.Sprintf("call %d starts while its key is closed", i)
							}
							return ""
						}})
				}
			}
			if c.aside && int(c.function) == worker && w.told {
				add(fmt.Sprintf("worker %d takes call %d from aside", worker, i), func(s *searcher) {
					s.calls[i].aside = false
					s.claim(i, int8(worker), false)
				})
			}
		}
		if c.status == isProcessing && !s.workers[c.by].dead {
			if !c.entered {
				add(fmt.Sprintf("call %d enters", i), func(s *searcher) { s.enter(i) })
				continue
			}
			for _, o := range []searchOutcome{completes, fails, released, unavailable} {
				if o == unavailable && c.plain {
					continue
				}
				key := s.keys[c.key]
				all = append(all, searchMove{says: fmt.Sprintf("call %d %s", i, o),
					do: func(s *searcher) { s.finish(i, o) },
					after: func(s *searcher) string {
						if key.closed > 0 && s.keys[c.key].closed == 0 && !(key.closed == 2 && c.tries) {
							return fmt.Sprintf("call %d opens the key, which it did not try", i)
						}
						return ""
					}})
				fault(fmt.Sprintf("call %d %s, and nobody hears of it", i, o), func(s *searcher) { s.finish(i, o); s.rung = nil })
			}
		}
		if c.status != unmade && c.status != hasEnded {
			fault(fmt.Sprintf("call %d is cancelled", i), func(s *searcher) { s.cancel(i) })
		}
		if c.listed {
			fault(fmt.Sprintf("the doorbell of call %d is lost", i), func(s *searcher) { s.calls[i].listed = false })
		}
	}
	for worker := range s.workers {
		w := s.workers[worker]
		switch {
		case w.dead:
			add(fmt.Sprintf("worker %d starts", worker), func(s *searcher) { s.workers[worker] = searchWorker{knows: true} })
		case !w.knows:
			add(fmt.Sprintf("worker %d beats", worker), func(s *searcher) { s.workers[worker].knows = true; s.looks(worker) })
		default:
			fault(fmt.Sprintf("worker %d dies", worker), func(s *searcher) { s.workers[worker].dead = true })
			if !w.idle {
				add(fmt.Sprintf("worker %d is idle", worker), func(s *searcher) { s.workers[worker].idle, s.workers[worker].told = true, false })
			}
			if w.told {
				fault(fmt.Sprintf("the wake-up of worker %d is lost", worker), func(s *searcher) { s.workers[worker].told = false })
			}
		}
	}
	add("a sweep", (*searcher).sweep)
	if s.setup.rate || s.keys[0].closed == 1 || s.keys[1].closed == 1 {
		add("time passes", (*searcher).tick)
	}
	if s.paused {
		add("the gate is resumed", func(s *searcher) { s.pauseGate(false) })
	} else {
		fault("the gate is paused", func(s *searcher) { s.pauseGate(true) })
	}
	if s.keys[0].paused {
		add("key 0 is resumed", func(s *searcher) { s.pauseKey(0, false) })
	} else {
		fault("key 0 is paused", func(s *searcher) { s.pauseKey(0, true) })
	}
	if s.setup.undeclared && !s.left {
		fault("the gate leaves the code", func(s *searcher) { s.left = true })
	}
	return all
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// settles has everything come to rest without faults, with worker 1 alive, and worker 0 too if both is true. They are busy with
// other things all the time, so that no wake-up finds them idle. It tells which call of a living worker does not end.
func (s *searcher) settles(both bool) string {
	s.pauseGate(false)
	s.pauseKey(0, false)
	for worker := range s.workers {
		w := &s.workers[worker]
		if worker == 0 && !both {
			*w = searchWorker{dead: true, knows: w.knows}
		} else if w.dead {
			s.workers[worker] = searchWorker{knows: true}
		}
	}
	for range 8 * searchCalls {
		for worker := range s.workers {
			if w := &s.workers[worker]; !w.dead {
				w.idle, w.knows = false, true
				s.looks(worker)
			}
		}
		s.sweep()
		s.ring()
		for i := range s.calls {
			c := &s.calls[i]
			for worker := range s.workers {
				w := s.workers[worker]
				if !w.dead && c.listed {
					s.take(i, int8(worker), false)
				}
				if !w.dead && c.aside && w.told && int(c.function) == worker {
					c.aside = false
					s.claim(i, int8(worker), false)
				}
			}
			if c.status == isProcessing && !s.workers[c.by].dead {
				if !c.entered {
					s.enter(i)
				}
				if c.status == isProcessing {
					s.finish(i, completes)
				}
			}
			s.ring()
		}
		s.tick()
	}
	for i, c := range s.calls {
		if c.status != unmade && c.status != hasEnded && !s.workers[c.function].dead {
			return fmt.Sprintf("call %d never ends: %+v", i, s.searchState)
		}
	}
	return ""
}

// search goes through all states, the nearest first. It returns how many there are, and how the first wrong one came about.
func search(setup searchSetup, without planted) (states int, wrong string) {
	type step struct {
		from int
		says string
	}
	start := searchState{calls: setup.calls, faults: searchFaults}
	for i := range start.workers {
		start.workers[i] = searchWorker{knows: true}
	}
	met, all, steps := map[searchState]bool{start: true}, []searchState{start}, []step{{-1, ""}}
	story := func(at int, end string) string {
		var says []string
		for ; at > 0; at = steps[at].from {
			says = append([]string{steps[at].says}, says...)
		}
		return strings.Join(append(says, end), "\n")
	}
	for at := 0; at < len(all) && (*searchStates == 0 || at < *searchStates); at++ {
		from := &searcher{searchState: all[at], setup: setup, without: without}
		for _, both := range []bool{true, false} {
			rest := *from
			if wrong := rest.settles(both); wrong != "" {
				return len(all), story(at, wrong)
			}
		}
		for _, m := range from.moves() {
			next := &searcher{searchState: all[at], setup: setup, without: without}
			if m.fault {
				if next.faults == 0 {
					continue
				}
				next.faults--
			}
			m.do(next)
			wrong := next.law()
			if wrong == "" && m.after != nil {
				wrong = m.after(next)
			}
			if wrong != "" {
				return len(all), story(at, m.says+": "+wrong)
			}
			next.ring()
			if !met[next.searchState] {
				met[next.searchState] = true
				all = append(all, next.searchState)
				steps = append(steps, step{at, m.says})
			}
		}
	}
	return len(all), ""
}
