package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/refcache"
)

// Handler answers a doorbell. A slot is taken for it, which it frees. ctx ends when asynq no longer waits for the answer;
// what runs must not depend on it.
type Handler func(ctx context.Context, d Rung) Answer

// Rung is a doorbell that rings.
type Rung struct {
	Ref refcache.Ref
	Ack *script.Piggyback // acknowledges it; nil when asynq is to do that
}

// Answer is what asynq is told about a doorbell. The zero Answer acknowledges it. Answers decide how soon things
// happen, never what happens.
type Answer struct {
	err   error
	acked bool
}

// Acknowledged is the Answer when the Ack of the doorbell has run.
func Acknowledged() Answer { return Answer{acked: true} }

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
	Slots           chan struct{} // to send to it takes a slot, to receive frees one
	ShutdownTimeout time.Duration
	Logger          *slog.Logger // what asynq logs goes there at level debug
	// Take, if not nil, takes a doorbell out of asynq's list of a queue, by a script that answers {asynq's message, ref_id}, and
	// does with the task what it likes in the same step. It answers what asynq's own script does: the message, or redis.Nil.
	Take func(ctx context.Context, queue string, by script.Piggyback) *redis.Cmd
	// Fault, if not nil, is told of errors of Redis, by what was done: dequeue, or asynq for what asynq itself does.
	Fault func(operation string, err error)
}

const (
	// pollEvery is how often asynq would look, should it no longer ask in the way that fetcher knows.
	pollEvery = 200 * time.Millisecond
	// forwardEvery is how often asynq looks for doorbells that are due: those whose worker has died. The others are
	// rung on time by who answered them.
	forwardEvery = 4 * time.Second
	// pingEvery is how often a subscription without messages is tried. Workers look by themselves sooner.
	pingEvery = 10 * time.Second
	// janitorEvery is how often asynq tidies what we do not have: completed doorbells that are kept.
	janitorEvery = time.Minute
	// slotPatience is how long a doorbell waits for a slot that was not taken for it beforehand.
	slotPatience = 2 * time.Second
)

// Listener answers doorbells until it is shut down.
type Listener struct {
	lines  map[string]*line // by queue
	chimes *redis.PubSub
	heard  sync.WaitGroup
	once   sync.Once // of Stop
}

// line is the connection to one of asynq's queues. Each has a server of its own, so that none waits for another.
type line struct {
	server  *asynq.Server
	fetcher *fetcher
	timers  *timers
	acks    *acks
	slots   chan struct{}
}

// Listen starts answering the doorbells of queues with h, as many at once as there are slots. It uses rdb, which the
// caller closes after Shutdown.
func Listen(rdb redis.UniversalClient, c Config, h Handler) (*Listener, error) {
	l := &Listener{lines: map[string]*line{}, chimes: rdb.Subscribe(context.Background(), chimeChannel(c.Worker))}
	for _, queue := range c.Queues {
		line, err := connect(rdb, c, queue, h)
		if err != nil {
			l.Shutdown()
			return nil, fmt.Errorf("listen to asynq's queue %s: %w", queue, err)
		}
		l.lines[queue] = line
	}
	messages := l.chimes.Channel(redis.WithChannelHealthCheckInterval(pingEvery))
	l.heard.Go(func() { l.hear(messages) })
	return l, nil
}

func connect(rdb redis.UniversalClient, c Config, queue string, h Handler) (*line, error) {
	l := &line{fetcher: newFetcher(rdb, queue, c), timers: newTimers(rdb, queue), acks: newAcks(queue), slots: c.Slots}
	l.server = asynq.NewServerFromRedisClient(newServerClient(rdb, l), asynq.Config{
		Concurrency:              cap(c.Slots) + mostFetchers, // an answer under way to Redis holds no slot
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
	if err := l.server.Start(l.handler(h)); err != nil {
		return nil, err
	}
	go l.fetcher.run(context.Background()) // ends with Stop
	return l, nil
}

// handler is h as asynq calls it.
func (l *line) handler(h Handler) asynq.Handler {
	return asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		if !l.takeSlot() {
			return &again{"no slot is free here", 0, false}
		}
		ref, err := taskOf(l.fetcher.queue, t.Payload())
		if err != nil {
			<-l.slots
			return fmt.Errorf("not a task of refq: %w: %w", err, asynq.SkipRetry)
		}
		id, _ := asynq.GetTaskID(ctx) // which every task has
		l.acks.undone(id)
		answer := h(ctx, Rung{ref, l.acks.piggyback(id)})
		var later *again
		switch {
		case answer.acked:
			l.acks.done(id)
		case errors.As(answer.err, &later):
			l.timers.expect(id, later.delay)
		}
		return answer.err
	})
}

// takeSlot takes the slot that the fetcher holds for a doorbell, or any other.
func (l *line) takeSlot() bool {
	if l.fetcher.held.take() {
		return true
	}
	enough := time.NewTimer(slotPatience)
	defer enough.Stop()
	select {
	case l.slots <- struct{}{}:
		return true
	case <-enough.C:
		return false
	}
}

// hear wakes the fetcher of each queue that a chime names. If this worker is busy, another is told.
func (l *Listener) hear(chimes <-chan *redis.Message) {
	for m := range chimes {
		if line := l.lines[m.Payload]; line != nil && !line.fetcher.chimed() {
			_ = chime(context.Background(), line.fetcher.rdb, m.Payload, 1) // idle workers look by themselves, too
		}
	}
}

// Stop ends the taking of doorbells; those taken are still answered. It returns when none is under way from Redis.
func (l *Listener) Stop() {
	l.once.Do(func() {
		for _, line := range l.lines {
			close(line.fetcher.stop)
		}
		for _, line := range l.lines {
			<-line.fetcher.fetched
			line.server.Stop()
		}
		_ = l.chimes.Close() // what it was for is over
		l.heard.Wait()
	})
}

// taskOf reads which task a doorbell in a queue is about. One about another queue's would be claimed where this worker
// neither beats nor sweeps, so it is none.
func taskOf(queue string, payload []byte) (refcache.Ref, error) {
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
