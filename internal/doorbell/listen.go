package doorbell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/refcache"
)

// Handler answers a doorbell. ctx ends when asynq no longer waits for the answer; what runs must not depend on it.
type Handler func(ctx context.Context, ref refcache.Ref) Answer

// Answer is what asynq is told about a doorbell. The zero Answer acknowledges it. Answers decide how soon things
// happen, never what happens.
type Answer struct {
	err error
}

// Again asks for the doorbell once more after a delay, not earlier; counted says that asynq shows it as a retry.
func Again(delay time.Duration, reason string, counted bool) Answer {
	return Answer{&again{reason, delay, counted}}
}

// Archive keeps the doorbell in asynq's archive, for people who look there.
func Archive(reason string) Answer {
	return Answer{fmt.Errorf("%s: %w", reason, asynq.SkipRetry)}
}

type again struct {
	reason  string
	delay   time.Duration
	counted bool
}

func (a *again) Error() string { return a.reason }

// Config is what a Listener needs to know.
type Config struct {
	Queues          []string
	Concurrency     int
	ShutdownTimeout time.Duration
	Logger          *slog.Logger // what asynq logs goes there at level debug
}

const (
	pollEvery    = 200 * time.Millisecond // an idle queue, on average
	forwardEvery = 500 * time.Millisecond // doorbells that are due
)

// Listener answers doorbells until it is shut down.
type Listener struct {
	server *asynq.Server
}

// Listen starts answering the doorbells of queues with h, at most Concurrency at once. It uses rdb, which the caller
// closes after Shutdown.
func Listen(rdb redis.UniversalClient, c Config, h Handler) (*Listener, error) {
	queues := make(map[string]int, len(c.Queues))
	for _, q := range c.Queues {
		queues[q] = 1
	}
	server := asynq.NewServerFromRedisClient(newServerClient(rdb), asynq.Config{
		Concurrency:              c.Concurrency,
		Queues:                   queues,
		TaskCheckInterval:        pollEvery,
		DelayedTaskCheckInterval: forwardEvery,
		ShutdownTimeout:          c.ShutdownTimeout,
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		Logger:                   logger{c.Logger},
		LogLevel:                 asynq.DebugLevel,
	})
	err := server.Start(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		queue, _ := asynq.GetQueueName(ctx)
		ref, err := taskOf(queue, t.Payload())
		if err != nil {
			return fmt.Errorf("not a task of refq: %w: %w", err, asynq.SkipRetry)
		}
		return h(ctx, ref).err
	}))
	if err != nil {
		return nil, fmt.Errorf("listen to asynq: %w", err)
	}
	return &Listener{server}, nil
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

// Stop ends the taking of doorbells; those taken are still answered.
func (l *Listener) Stop() { l.server.Stop() }

// Shutdown stops, waits up to ShutdownTimeout for answers, and gives the other doorbells back to asynq.
func (l *Listener) Shutdown() { l.server.Shutdown() }

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
	if strings.HasPrefix(text, "cannot subscribe to cancelation channel") {
		return // it is deaf on purpose
	}
	l.to.Debug("asynq: " + text)
}
