package queue

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// fetcher dequeues doorbells ahead of asynq's own dequeue, which is serial and polls. asynq's server still asks, by its own
// script; it gets an answer when there is one. So a doorbell is dequeued the moment it is enqueued, several at a time when there
// are many, and never more than there are free slots.
//
// Its goroutines are run, which ends with stop, and up to maxFetchers that run starts (fetchAll). asynq's one goroutine that
// dequeues calls answer; the goroutine that receives wake-ups calls woken.
type fetcher struct {
	// Fixed at creation.
	rdb        redis.UniversalClient
	queue      string
	worker     string // its id
	dequeueBy  func(ctx context.Context, queue string, from store.Doorbells) (Dequeued, error)
	store      *store.Store
	known      *store.Known
	slots      Slots
	inbound    *inbound
	lessons    *lessons // asynq's server adds to them
	asides     *asides  // the goroutine that receives wake-ups adds to them, and the one that beats
	pauses     pauses   // the same two hear of them
	pausedIn   *pausedIn
	log        *slog.Logger
	countError func(operation string, err error)
	answered   func(err error) // is told what became of each question for work

	// Channels, each named with who sends to it or closes it.
	asked   chan struct{}   // closed by asynq's goroutine when it has asked for the first time
	found   chan *redis.Cmd // the fetchers send doorbells and errors; asynq's goroutine receives them
	wake    chan struct{}   // who receives wake-ups sends; the last fetcher that is left receives
	stop    chan struct{}   // closed by Listener.Stop: dequeue no more
	fetched chan struct{}   // closed by run: nothing more will be found
	given   chan struct{}   // closed by Listener.Shutdown: nobody takes what is found

	// tickets are the right to dequeue. Each fetcher holds one meanwhile, and passes it on.
	free chan struct{} // those that nobody holds

	mu      sync.Mutex // guards what the fetchers share
	tickets int        // how many there are, free or held
	streak  int        // doorbells found since the list was last empty
}

const (
	// maxFetchers is how many dequeues of a queue may be under way at once: over a network each takes a round trip.
	maxFetchers = 64
	// foundEach is how many doorbells must be found one after the other, for each ticket, before there is one more.
	foundEach = 4
	// minIdle and maxIdle are the bounds of an idle worker's wait for a wake-up. After that it looks by itself.
	minIdle = 2 * time.Second
	maxIdle = 3 * time.Second
	// maxAnswer is how long asynq waits for an answer: it counts the lease of what it gets from when it asked.
	maxAnswer = 5 * time.Second
	// askedWithin is a long time for asynq to ask for the first time: it does so when it starts.
	askedWithin = 10 * time.Second
	// fetchAgain is the wait after a dequeue that failed: Redis is away.
	fetchAgain = 200 * time.Millisecond
	// leaveTimeout is how long a Redis that does not answer holds up the end of fetching.
	leaveTimeout = time.Second
)

func newFetcher(rdb redis.UniversalClient, queue string, c Config) *fetcher {
	return &fetcher{
		rdb: rdb, queue: queue, worker: c.Worker, dequeueBy: c.Dequeue, store: c.Store, known: c.Known, slots: c.Slots,
		inbound: newInbound(), asides: &asides{}, pausedIn: c.pausedIn,
		lessons: newLessons(queue, c.Logger), log: c.Logger, countError: countErrorOr(c.CountError), answered: c.answered(queue),
		asked: make(chan struct{}), found: make(chan *redis.Cmd), wake: make(chan struct{}, 1), stop: make(chan struct{}),
		fetched: make(chan struct{}), given: make(chan struct{}), free: make(chan struct{}, maxFetchers),
	}
}

// answered returns what is told of questions for work in a queue.
func (c Config) answered(queue string) func(err error) {
	if c.Asked == nil {
		return func(error) {}
	}
	return func(err error) { c.Asked(queue, err) }
}

func countErrorOr(count func(string, error)) func(string, error) {
	if count == nil {
		return func(string, error) {}
	}
	return count
}

// run fetches until stop is closed.
func (f *fetcher) run(ctx context.Context) {
	defer close(f.fetched)
	if !f.isAsked() {
		return
	}
	f.tickets = 1
	f.free <- struct{}{}
	var all sync.WaitGroup
	for range min(maxFetchers, cap(f.slots)) {
		all.Go(func() { f.fetchAll(ctx) })
	}
	all.Wait()
	f.leave(ctx)
}

// leave takes the worker from those that are woken. Nobody else needs to be told; if Redis does not answer, a wake-up that is not
// received tells. One that came in the last moment is passed on.
func (f *fetcher) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if f.rdb.SRem(ctx, store.IdleKey(f.queue), f.worker).Err() != nil {
		return
	}
	_ = wake(ctx, f.rdb, f.queue, 1) // idle workers look by themselves, too
	for _, name := range f.asides.all() {
		_ = f.store.WakeFor(ctx, f.queue, name)
	}
}

// isAsked waits for asynq's first question. It returns false when fetching is over before. An asynq that asks in another way is
// not held back: it polls.
func (f *fetcher) isAsked() bool {
	late := time.NewTimer(askedWithin)
	defer late.Stop()
	for {
		select {
		case <-f.asked:
			return true
		case <-f.stop:
			return false
		case <-late.C:
			f.lessons.warn("does not ask for doorbells in the way that is known: it polls, which is slower")
		}
	}
}

// hasAsked reports whether asynq has asked in the way that is known: then every doorbell comes by this fetcher.
func (f *fetcher) hasAsked() bool {
	select {
	case <-f.asked:
		return true
	default:
		return false
	}
}

func (f *fetcher) fetchAll(ctx context.Context) {
	for {
		select {
		case <-f.free:
		case <-f.stop:
			return
		}
		slot := f.slots.acquire(f.stop)
		if slot == nil {
			return
		}
		if f.hasStopped() { // a choice among several may have fallen on the others
			slot.Release()
			return
		}
		from := f.asides.choose()
		switch d, err := f.dequeue(ctx, slot, from); {
		case err != nil:
			slot.Release()
			f.countError("dequeue", err)
			f.give(redis.NewCmdResult(nil, err)) // asynq logs it
			f.pause(fetchAgain)
			f.free <- struct{}{}
		case d.More:
			slot.Release()
			f.free <- struct{}{}
		case d.Message == nil:
			slot.Release()
			f.hasFoundNothing(ctx, from)
		default:
			f.hasFound()
			f.give(redis.NewCmdResult(d.Message, nil))
		}
	}
}

func (f *fetcher) hasStopped() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// dequeue asks Redis what asynq asks, of the list chosen. A doorbell is inbound from here on, with its slot. A dequeue is never
// given up half-way: a doorbell whose answer nobody receives is lost for minutes.
func (f *fetcher) dequeue(ctx context.Context, slot *Slot, from choice) (Dequeued, error) {
	list := ""
	if from.name != "" {
		list = asideList(f.queue, from.name)
	}
	d, err := f.dequeueBy(ctx, f.queue, store.Doorbells{Name: from.name, Paused: from.heldUp, Dequeue: f.lessons.dequeue(list),
		SetAside: setAsideText, DropGone: dropGoneText})
	f.answered(err)
	if err == nil && d.Message != nil {
		f.inbound.add(&arrival{ref: string(d.Ref), slot: slot, claimed: d.Claimed})
	}
	return d, err
}

// hasFound passes the ticket on, and makes another when one doorbell after the other is found.
func (f *fetcher) hasFound() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streak++
	f.free <- struct{}{}
	if f.streak > foundEach*f.tickets && f.tickets < cap(f.free) {
		f.tickets++
		f.free <- struct{}{}
	}
}

// hasFoundNothing passes the ticket on while another list may have something, and else gives it up. The holder of the last ticket
// waits until there may be something again.
func (f *fetcher) hasFoundNothing(ctx context.Context, in choice) {
	if in.name != "" {
		f.asides.wasEmpty(in)
	}
	if in.name != "" || f.asides.any() {
		f.free <- struct{}{}
		return
	}
	f.mu.Lock()
	f.streak = 0
	if f.tickets > 1 {
		f.tickets--
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	for enough := false; !enough; {
		is, err := markIdle(ctx, f.rdb, f.queue, f.worker)
		f.answered(err)
		switch {
		case err != nil:
			f.pause(fetchAgain)
			enough = true
		case is == hasAside && f.lookAside(ctx):
			enough = true
		case is != hasWork:
			enough = f.pause(minIdle + rand.N(maxIdle-minIdle)) // else it looks by marking itself idle again
		default:
			enough = true
		}
	}
	f.free <- struct{}{}
}

// pause waits for a wake-up, at most for limit. It returns false when none came, nor the end.
func (f *fetcher) pause(limit time.Duration) bool {
	enough := time.NewTimer(limit)
	defer enough.Stop()
	select {
	case <-f.wake:
	case <-enough.C:
		return false
	case <-f.stop:
	}
	return true
}

// woken wakes who waits, or is about to. False: no slot is free here, or nothing is dequeued any more, so another worker is to be
// woken as well.
func (f *fetcher) woken() bool {
	if f.hasStopped() {
		return false
	}
	select {
	case f.wake <- struct{}{}:
	default: // a wake-up waits already
	}
	return f.slots.AreFree()
}

// lookAside asks under which names that this worker knows doorbells are set aside. It returns whether there are any that are not
// paused.
func (f *fetcher) lookAside(ctx context.Context) bool {
	names, err := f.store.Aside(ctx, f.queue, f.known)
	f.countError("aside", err)
	found := false
	for _, name := range names {
		found = f.asides.hear(name) || found
	}
	return found
}

// give hands over what was found when asynq asks.
func (f *fetcher) give(cmd *redis.Cmd) {
	select {
	case f.found <- cmd:
	case <-f.given: // asynq's server is gone; its lease ends, and then the doorbell rings again
	}
}

// errNothingYet has asynq ask again at once, where an empty list would have it sleep.
var errNothingYet = errors.New("no doorbell yet")

// answer answers asynq's dequeue, as soon as there is something. asynq asks one question at a time.
func (f *fetcher) answer(ctx context.Context) *redis.Cmd {
	if !f.hasAsked() {
		close(f.asked)
	}
	enough := time.NewTimer(maxAnswer)
	defer enough.Stop()
	answer := redis.NewCmd(ctx)
	select {
	case cmd := <-f.found:
		return cmd
	case <-enough.C:
		answer.SetErr(errNothingYet)
	case <-f.fetched:
		answer.SetErr(redis.Nil)
	case <-f.given:
		answer.SetErr(redis.Nil)
	}
	return answer
}

// Dequeued is what [Config].Dequeue has taken out of a list.
type Dequeued struct {
	Message any          // asynq's; nil: the list is empty or the queue paused, unless there is More
	More    bool         // nothing yet: ask again
	Ref     refcache.Ref // the call that the doorbell is about; empty when it names none of this queue
	Claimed *Claimed     // nil: no attempt was claimed
}

// Claimed is an attempt that was claimed in the step that dequeued its doorbell, or what else was found out about it there. One of
// its functions is called, once.
type Claimed struct {
	Run      Handler          // answers the doorbell when asynq hands it over
	HandBack func(why string) // ends the attempt uncounted when asynq does not
}
