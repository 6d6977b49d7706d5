package queue

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"

	"github.com/refq/refq/internal/store"
)

const (
	// mostFetchers is how many dequeues of a queue are under way at once, at most: over a network each takes a round trip.
	mostFetchers = 64
	// foundEach is how many doorbells must be found one after the other, for each who looks, before one more does.
	foundEach = 4
	// holdMost is how long an idle worker waits for a chime before it looks by itself, and holdLeast the least.
	holdMost  = 3 * time.Second
	holdLeast = 2 * time.Second
	// askMost is how long asynq waits for an answer, at most: it counts the lease of what it gets from when it asked.
	askMost = 5 * time.Second
	// askedWithin is long for asynq to ask for the first time: it does so when it starts.
	askedWithin = 10 * time.Second
	// fetchAgain is the wait after a dequeue that failed: Redis is away.
	fetchAgain = 200 * time.Millisecond
	// leaveMost is how long a Redis that does not answer holds up the end of fetching, or little more.
	leaveMost = time.Second
)

// fetcher takes doorbells out of asynq's list ahead of asynq's own dequeue, which is serial and polls. asynq's server
// still asks, by its own script; it gets the answer when there is one. So a doorbell is taken the moment it is put in,
// several at a time when there are many, and never more than there are free slots.
type fetcher struct {
	rdb   redis.UniversalClient
	queue string
	id    string // of the worker
	take  func(ctx context.Context, queue string, by script.Piggyback) *redis.Cmd
	slots chan struct{}
	log   *slog.Logger
	fault func(operation string, err error)

	asked    chan struct{} // closed when asynq has asked for the first time
	question question      // what asynq asks, once asked is closed

	held    held            // slots of doorbells that were handed to asynq and are not answered yet
	found   chan *redis.Cmd // answers with a doorbell, or with an error
	wake    chan struct{}
	stop    chan struct{} // closed: fetch no more
	fetched chan struct{} // closed: nothing more will be found
	given   chan struct{} // closed: nobody takes what is found

	mu      sync.Mutex
	tickets int           // how many may fetch at once
	free    chan struct{} // tickets that nobody holds
	streak  int           // doorbells found since the list was last empty
}

//go:embed dequeue.lua
var takeText string

// question is asynq's dequeue script, as it was asked last.
type question struct {
	script *redis.Script
	taking string // the text of one that also tells which task the doorbell is about
	keys   []string
	lease  int64 // when the lease would end, in Unix seconds
	at     time.Time
	rest   []any
}

func newQuestion(text string, keys []string, args []any) question {
	return question{redis.NewScript(text), strings.Replace(takeText, "DEQUEUE", text, 1), keys, args[0].(int64), time.Now(), args[1:]}
}

func newFetcher(rdb redis.UniversalClient, queue string, c Config) *fetcher {
	return &fetcher{
		rdb: script.New(rdb), queue: queue, id: c.Worker, take: c.Take, slots: c.Slots, log: c.Logger, asked: make(chan struct{}), found: make(chan *redis.Cmd),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), fetched: make(chan struct{}), given: make(chan struct{}),
		free: make(chan struct{}, mostFetchers), fault: faultOr(c.Fault),
	}
}

func faultOr(told func(string, error)) func(string, error) {
	if told == nil {
		return func(string, error) {}
	}
	return told
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
	for range min(mostFetchers, cap(f.slots)) {
		all.Go(func() { f.fetchAll(ctx) })
	}
	all.Wait()
	f.leave(ctx)
}

// leave is told to nobody but Redis, if that answers: else it is found out when a chime is not heard. One that came in the
// last moment is passed on.
func (f *fetcher) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveMost)
	defer cancel()
	if f.rdb.SRem(ctx, store.IdleKey(f.queue), f.id).Err() == nil {
		_ = chime(ctx, f.rdb, f.queue, 1) // idle workers look by themselves, too
	}
}

// isAsked waits for asynq's first question; false when fetching is over before. An asynq that asks in another way is not
// held back: it polls.
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
			f.log.Warn("asynq does not ask for doorbells in the way that is known: it polls, which is slower", "queue", f.queue, "every", pollEvery)
		}
	}
}

func (f *fetcher) fetchAll(ctx context.Context) {
	for {
		select {
		case <-f.free:
		case <-f.stop:
			return
		}
		select {
		case f.slots <- struct{}{}:
		case <-f.stop:
			return
		}
		if f.hasStopped() { // a choice among several may have fallen on the others
			<-f.slots
			return
		}
		cmd := f.dequeue(ctx)
		switch err := cmd.Err(); {
		case err == nil:
			f.hasFound()
			f.give(cmd)
		case errors.Is(err, redis.Nil):
			<-f.slots
			f.hasFoundNothing(ctx)
		default:
			<-f.slots
			f.fault("dequeue", err)
			f.give(cmd) // asynq logs it
			f.pause(fetchAgain)
			f.free <- struct{}{}
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

// dequeue asks Redis what asynq asks. It is never given up half-way: a doorbell whose answer nobody hears is lost for
// minutes.
func (f *fetcher) dequeue(ctx context.Context) *redis.Cmd {
	f.mu.Lock()
	q := f.question
	f.mu.Unlock()
	lease := q.lease + int64(time.Since(q.at)/time.Second)
	args := append([]any{lease}, q.rest...)
	if f.take != nil {
		return f.take(ctx, f.queue, script.Piggyback{Text: q.taking, Use: script.Use{Keys: q.keys, Args: args}})
	}
	return q.script.Run(ctx, f.rdb, q.keys, args...)
}

// hasFound passes the ticket on, and makes another when one after the other finds something.
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

// hasFoundNothing gives the ticket up. The last ticket's holder waits until there may be something again.
func (f *fetcher) hasFoundNothing(ctx context.Context) {
	f.mu.Lock()
	f.streak = 0
	if f.tickets > 1 {
		f.tickets--
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	for enough := false; !enough; {
		idle, err := goIdle(ctx, f.rdb, f.queue, f.id)
		switch {
		case err != nil:
			f.pause(fetchAgain)
			enough = true
		case idle:
			enough = f.pause(holdLeast + rand.N(holdMost-holdLeast)) // else it looks by going idle again
		default:
			enough = true
		}
	}
	f.free <- struct{}{}
}

// pause waits for a chime, at most for a while; false when none came, nor the end.
func (f *fetcher) pause(most time.Duration) bool {
	enough := time.NewTimer(most)
	defer enough.Stop()
	select {
	case <-f.wake:
	case <-enough.C:
		return false
	case <-f.stop:
	}
	return true
}

// chimed wakes who waits, or is about to. False: no slot is free here, or nothing is fetched any more, so another worker
// should be told as well.
func (f *fetcher) chimed() bool {
	if f.hasStopped() {
		return false
	}
	select {
	case f.wake <- struct{}{}:
	default: // a chime is waiting already
	}
	return len(f.slots) < cap(f.slots)
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

// ask answers asynq's dequeue, as soon as there is something. text is empty when asynq has sent no more than its hash.
func (f *fetcher) ask(ctx context.Context, text string, keys []string, args []any) *redis.Cmd {
	if !f.knows(text, keys, args) {
		return redis.NewCmdResult(nil, redis.ErrNoScript) // asynq then sends the text
	}
	enough := time.NewTimer(askMost)
	defer enough.Stop()
	answer := redis.NewCmd(ctx)
	select {
	case cmd := <-f.found:
		if cmd.Err() == nil {
			f.held.add(f.slots)
		}
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

// knows notes what asynq asks, which is only known once it has sent the text; false until then.
func (f *fetcher) knows(text string, keys []string, args []any) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.question.script != nil:
		f.question.lease, f.question.at = args[0].(int64), time.Now()
	case text != "":
		f.question = newQuestion(text, keys, args)
		close(f.asked)
	default:
		return false
	}
	return true
}

// isDequeue reports whether a script with these keys and arguments is the one by which asynq takes a doorbell.
func isDequeue(keys []string, args []any) bool {
	if len(keys) != 4 || len(args) != 2 {
		return false
	}
	_, lease := args[0].(int64)
	return lease && strings.HasSuffix(keys[0], "}:pending") && strings.HasSuffix(keys[1], "}:paused") &&
		strings.HasSuffix(keys[2], "}:active") && strings.HasSuffix(keys[3], "}:lease")
}
