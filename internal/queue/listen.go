package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Handler answers a doorbell. It releases the doorbell's slot. ctx ends when asynq no longer waits for the answer; what runs must
// not depend on it.
type Handler func(ctx context.Context, d Doorbell) Answer

// Doorbell is an asynq task that says: somebody should look at this call.
type Doorbell struct {
	Ref    refcache.Ref
	Slot   *Slot
	Ack    *script.Piggyback // acknowledges it; nil when asynq is to do that
	Paused string            // functions of the queue that are not to be started: [store.PausedNames]
}

// Answer is what asynq is told about a doorbell. The zero Answer acknowledges it. Answers decide how soon things
// happen, never what happens.
type Answer struct {
	err          error
	acknowledged bool
}

// Acknowledged is the Answer when the Ack of the doorbell has run.
func Acknowledged() Answer { return Answer{acknowledged: true} }

// Again asks for the doorbell once more after a delay, not earlier; counted says that asynq shows it as a retry.
func Again(delay time.Duration, reason string, counted bool) Answer {
	return Answer{err: &again{reason, delay, counted}}
}

// Archive keeps the doorbell in asynq's archive, for people who look there.
func Archive(reason string) Answer {
	return Answer{err: fmt.Errorf("%s: %w", reason, asynq.SkipRetry)}
}

type again struct {
	reason  string
	delay   time.Duration
	counted bool
}

func (a *again) Error() string { return a.reason }

// Config is what a Listener needs to know.
type Config struct {
	Worker          string // its id
	Queues          []string
	Slots           Slots
	ShutdownTimeout time.Duration
	Logger          *slog.Logger // what asynq logs goes there at level debug
	Store           *store.Store
	Known           *store.Known     // what the worker knows
	Paused          map[string]Heard // what is paused, by queue, as far as that is known
	// Dequeue takes a doorbell out of a list of a queue, for this worker. It does with the call what it likes in the same step.
	Dequeue func(ctx context.Context, queue string, from store.Doorbells) (Dequeued, error)
	// Due is told in how long time frees a key of one of a queue's gates.
	Due func(queue string, in time.Duration)
	// Asked is told what became of each question for work in a queue; nil: it was answered.
	Asked func(queue string, err error)
	// CountError, if not nil, is told of errors of Redis, by what was done: dequeue, aside, or asynq for what asynq itself does.
	CountError func(operation string, err error)

	pausedIn *pausedIn // of all queues; made by Listen
}

const (
	// pollEvery is how often asynq would look, should it no longer ask in the way that fetcher knows.
	pollEvery = 200 * time.Millisecond
	// forwardEvery is how often asynq looks for doorbells that are due: those whose worker has died. All others are taken up
	// on time by who put them off.
	forwardEvery = 4 * time.Second
	// maxSilence is how long the subscription to wake-ups may hear nothing before it is tried. Workers look by themselves sooner.
	maxSilence = 10 * time.Second
	// janitorEvery is how often asynq tidies what we do not have: completed doorbells that are kept.
	janitorEvery = time.Minute
	// maxSlotWait is how long a doorbell waits for a slot when asynq has dequeued it by itself.
	maxSlotWait = 2 * time.Second
)

// Listener answers doorbells until it is shut down.
type Listener struct {
	lines    map[string]*line // by queue
	wakeups  *script.Subscription
	due      func(queue string, in time.Duration)
	received sync.WaitGroup
	once     sync.Once // of Stop
}

// line is the connection to one of asynq's queues. Each has a server of its own, so that none waits for another.
type line struct {
	queue        string
	handler      Handler
	server       *asynq.Server
	fetcher      *fetcher
	inbound      *inbound // the fetcher adds, the handler pops
	lessons      *lessons
	timers       *timers
	acknowledged *acknowledged
	announcer    *announcer
	slots        Slots
}

// Listen starts answering the doorbells of queues with h, as many at once as there are slots. It uses rdb, which the caller
// closes after Shutdown.
func Listen(rdb redis.UniversalClient, c Config, h Handler) (*Listener, error) {
	c.pausedIn = &pausedIn{}
	l := &Listener{lines: map[string]*line{}, due: c.Due, wakeups: script.Subscribe(rdb, maxSilence)}
	for _, queue := range c.Queues {
		l.wakeups.Add(store.WakeChannel(queue, c.Worker))
		line, err := connect(rdb, c, queue, h)
		if err != nil {
			l.Shutdown()
			return nil, fmt.Errorf("listen to asynq's queue %s: %w", queue, err)
		}
		l.lines[queue] = line
	}
	l.received.Go(func() {
		l.wakeups.Receive(func(what any) {
			switch what := what.(type) {
			case *redis.Message:
				l.heard(what.Payload)
			case *redis.Subscription: // wake-ups before it were not heard
				if line := l.lines[store.QueueOfChannel(what.Channel)]; line != nil {
					line.fetcher.woken()
				}
			}
		})
	})
	return l, nil
}

func connect(rdb redis.UniversalClient, c Config, queue string, h Handler) (*line, error) {
	f := newFetcher(rdb, queue, c)
	f.hearPauses(c.Paused[queue])
	l := &line{queue: queue, handler: h, fetcher: f, inbound: f.inbound, lessons: f.lessons, timers: newTimers(rdb, queue),
		acknowledged: &acknowledged{}, announcer: newAnnouncer(rdb, f.countError), slots: c.Slots}
	l.server = asynq.NewServerFromRedisClient(newServerClient(rdb, l), asynq.Config{
		Concurrency:              cap(c.Slots) + maxFetchers, // an answer under way to Redis holds no slot
		Queues:                   map[string]int{queue: 1},
		TaskCheckInterval:        pollEvery,
		DelayedTaskCheckInterval: forwardEvery,
		JanitorInterval:          janitorEvery,
		ShutdownTimeout:          c.ShutdownTimeout,
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		Logger:                   logger{c.Logger},
		LogLevel:                 asynq.DebugLevel,
	})
	if err := l.server.Start(asynq.HandlerFunc(l.handle)); err != nil {
		return nil, err
	}
	go l.fetcher.run(context.Background()) // ends with Stop
	return l, nil
}

// handle is called by asynq with each doorbell, in a goroutine of its own.
func (l *line) handle(ctx context.Context, t *asynq.Task) error {
	arrived := l.arrived(string(t.Payload()))
	if arrived == nil {
		return &again{"no slot is free here", 0, false}
	}
	ref, err := refOf(l.queue, t.Payload())
	if err != nil {
		arrived.slot.Release()
		return fmt.Errorf("not a task of refq: %w: %w", err, asynq.SkipRetry)
	}
	id, _ := asynq.GetTaskID(ctx) // which every task has
	l.acknowledged.remove(id)     // of an earlier doorbell
	run := l.handler
	if arrived.claimed != nil {
		run = arrived.claimed.Run
	}
	answer := run(ctx, Doorbell{Ref: ref, Slot: arrived.slot, Ack: l.lessons.acknowledge(id),
		Paused: store.PausedNames(l.fetcher.asides.notStarted())})
	var later *again
	switch {
	case answer.acknowledged:
		l.acknowledged.add(id)
	case errors.As(answer.err, &later):
		l.timers.expect(id, later.delay)
	}
	return answer.err
}

// arrived takes a doorbell out of the table of those that are inbound. One that asynq has dequeued by itself has to wait for a
// slot. Nil: it has none, or it was given up before it came.
func (l *line) arrived(ref string) *arrival {
	if a := l.inbound.pop(ref); a != nil || l.fetcher.hasAsked() {
		return a
	}
	if slot := l.slots.acquireWithin(maxSlotWait); slot != nil {
		return &arrival{slot: slot}
	}
	return nil
}

// heard wakes the fetcher of the queue that a message names. If this worker is busy, another is woken, too: idle workers look by
// themselves, so that a wake-up which gets lost here is late and no more.
func (l *Listener) heard(message string) {
	ctx := context.Background()
	queue, name, aside := strings.Cut(message, " ")
	line := l.lines[queue]
	in, due := strings.CutPrefix(name, "due ")
	switch {
	case line == nil:
	case due:
		if ms, err := strconv.Atoi(in); err == nil && l.due != nil {
			l.due(queue, time.Duration(ms)*time.Millisecond)
		}
	case !aside && !line.fetcher.woken():
		_ = wake(ctx, line.fetcher.rdb, queue, 1)
	case aside && name == store.PausesChanged:
		line.fetcher.lookAtPauses(ctx)
	case aside && line.fetcher.known.Has(name):
		unpaused := line.fetcher.asides.hear(name)
		if !line.fetcher.woken() && unpaused {
			_ = line.fetcher.store.WakeFor(ctx, queue, name)
		}
	}
}

// HearAside has a queue's doorbells answered that are set aside under some names.
func (l *Listener) HearAside(queue string, names []string) {
	line := l.lines[queue]
	if line == nil || len(names) == 0 {
		return
	}
	for _, name := range names {
		line.fetcher.asides.hear(name)
	}
	line.fetcher.woken()
}

// Stop ends the dequeuing of doorbells, and then gives up those that are inbound: their attempts are handed back. Those that
// are being answered go on. It returns when no dequeue is under way.
func (l *Listener) Stop() {
	l.once.Do(func() {
		var all sync.WaitGroup
		for _, line := range l.lines {
			all.Go(func() {
				close(line.fetcher.stop)
				<-line.fetcher.fetched
				line.server.Stop()
				line.inbound.close()
			})
		}
		all.Wait()
		_ = l.wakeups.Close() // what it was for is over
		l.received.Wait()
	})
}

// refOf reads which call a doorbell in a queue is about. One about another queue's would be claimed where this worker
// neither beats nor sweeps, so it is none.
func refOf(queue string, payload []byte) (refcache.Ref, error) {
	ref, err := refcache.ParseRef(string(payload))
	if err == nil && ref.Queue() != queue {
		return "", fmt.Errorf("%s belongs to queue %s, and this is %s", ref, ref.Queue(), queue)
	}
	return ref, err
}

// Shutdown stops, waits up to ShutdownTimeout for answers, and gives the other doorbells back to asynq.
func (l *Listener) Shutdown() {
	l.Stop()
	var all sync.WaitGroup
	for _, line := range l.lines {
		all.Go(func() {
			close(line.fetcher.given)
			line.server.Shutdown()
			line.announcer.wait()
			line.timers.stop()
		})
	}
	all.Wait()
}

// retryDelay is called by asynq outside its own recover, also for doorbells whose worker died: it must not panic.
func retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	var a *again
	if !errors.As(err, &a) {
		return time.Second
	}
	return wholeSeconds(time.Now(), a.delay)
}

// wholeSeconds lengthens a delay so that it ends on a second of the clock: asynq cuts off the rest of a due time, which
// would ring up to a second early.
func wholeSeconds(now time.Time, delay time.Duration) time.Duration {
	if delay <= 0 {
		return 0
	}
	due := now.Add(delay)
	if whole := due.Truncate(time.Second); whole.Before(due) {
		due = whole.Add(time.Second)
	}
	return due.Sub(now)
}

// isFailure: what is not counted may go on for ever, so whatever asynq itself reports is counted.
func isFailure(err error) bool {
	var a *again
	return !errors.As(err, &a) || a.counted
}

// logger hands asynq's own log to slog. Whatever asynq calls fatal must not end somebody's process.
type logger struct{ to *slog.Logger }

func (l logger) Debug(args ...any) { l.log(args) }
func (l logger) Info(args ...any)  { l.log(args) }
func (l logger) Warn(args ...any)  { l.log(args) }
func (l logger) Error(args ...any) { l.log(args) }
func (l logger) Fatal(args ...any) { l.log(args) }

func (l logger) log(args []any) {
	text := fmt.Sprint(args...)
	if strings.HasPrefix(text, "cannot subscribe to cancelation channel") || strings.Contains(text, errNothingYet.Error()) {
		return // it is deaf on purpose, and kept waiting
	}
	l.to.Debug("asynq: " + text)
}
