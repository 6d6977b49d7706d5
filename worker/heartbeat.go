package worker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
)

const (
	heartbeatEvery = 2 * time.Second
	// pingEvery is how often a subscription without messages is tried. The beat is behind it.
	pingEvery = 10 * time.Second
	// heartbeatTimeout leaves time for a second beat before the worker counts as dead. It is longer than two round trips to a
	// Redis that takes a second for each: after a timeout the next beat has to connect first.
	heartbeatTimeout = store.DeadAfter / 2
)

// heartbeatAll sends heartbeats in every queue until ctx ends, over a connection of its own where that can be had: a pool that is used
// up must not make the worker look dead.
func (w *Worker) heartbeatAll(ctx context.Context) {
	rdb, closeOwn := ownConnection(w.rdb)
	defer closeOwn()
	s := w.store.Over(rdb)
	host, _ := os.Hostname()
	text, _ := json.Marshal(store.About{Host: host, PID: os.Getpid(), Functions: w.Functions(), Since: time.Now().UnixMilli()})
	each(ctx, heartbeatEvery, func() {
		sent, all := time.Now(), true
		for queue := range w.queues {
			all = w.heartbeat(ctx, s, queue, string(text)) && all
		}
		if all {
			w.beaten.set(sent)
		}
	})
}

// ownConnection returns a client with one connection that reaches the same Redis as rdb, and a function to close it.
// Only a plain client tells how; any other is used as it is.
func ownConnection(rdb redis.UniversalClient) (redis.UniversalClient, func()) {
	plain, ok := script.Plain(rdb).(*redis.Client)
	if !ok {
		return rdb, func() {}
	}
	options := *plain.Options()
	options.AutoPipelineOptions = nil
	options.PoolSize, options.MinIdleConns, options.MaxIdleConns, options.MaxActiveConns = 1, 0, 0, 0
	own := redis.NewClient(&options)
	return own, func() { _ = own.Close() } // nothing of it is wanted any more
}

// each calls f at once and then at every tick until ctx ends.
func each(ctx context.Context, every time.Duration, f func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		f()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// heartbeat tells Redis what runs here, ends what should not, and gives back claims that nobody here knows of. False: Redis
// was not told.
func (w *Worker) heartbeat(ctx context.Context, s *store.Store, queue, text string) bool {
	answered, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	void, unknown, err := s.Heartbeat(answered, queue, w.id, text, w.running.claims(queue))
	if w.contact.report(ctx, err); err != nil {
		return false
	}
	for _, claim := range void {
		w.running.void(claim.Token)
	}
	for _, claim := range unknown {
		if !w.running.has(claim.Token) { // one that is here was claimed after the beat was sent
			w.redeliver(ctx, store.Orphan{Worker: w.id, Claim: claim})
		}
	}
	return true
}

// redeliver takes an attempt from a worker that lost it, and rings for the task.
func (w *Worker) redeliver(ctx context.Context, o store.Orphan) {
	taken, task, err := w.store.Redeliver(ctx, o.Claim, o.Worker, w.id)
	if err == nil && taken {
		w.countLost(task)
		w.log.Warn("attempt was lost", "ref_id", o.Ref, "func", task.Policy.Name, "attempt", task.Attempt, "lost_by", o.Worker, "status", task.Status)
		err = w.queue.Enqueue(ctx, task, queue.AtOnce)
	}
	if errors.Is(err, store.ErrDamaged) {
		w.log.Warn("damaged record: its attempt is given up", "ref_id", o.Ref, "lost_by", o.Worker, "err", err)
	} else if err != nil && ctx.Err() == nil {
		w.log.Warn("redelivery is left to a later sweep", "ref_id", o.Ref, "err", err)
	}
}

// leave takes the worker out of its queues, unless it still holds claims there: those make others look for it.
func (w *Worker) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for queue := range w.queues {
		if err := w.store.RemoveWorker(ctx, queue, w.id, w.id); err != nil {
			w.log.Debug("worker stays listed until others miss it", "err", err)
		}
	}
}

// receiveCancellations ends attempts as soon as their task is cancelled. Messages may get lost; the beat finds out too.
func (w *Worker) receiveCancellations(ctx context.Context) {
	sub := w.rdb.Subscribe(ctx, store.WorkerChannel(w.id))
	defer sub.Close()
	messages := sub.Channel(redis.WithChannelHealthCheckInterval(pingEvery))
	for {
		select {
		case m, ok := <-messages:
			if !ok {
				return
			}
			w.running.void(m.Payload)
		case <-ctx.Done():
			return
		}
	}
}

// contact says at most once a minute that Redis cannot be reached, and after that when it can again.
type contact struct {
	log *slog.Logger

	mu    sync.Mutex
	since time.Time // of the outage; zero: none
	said  time.Time // when it was last said, of this outage or an earlier one
}

func (c *contact) report(ctx context.Context, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case ctx.Err() != nil:
	case err == nil:
		if !c.since.IsZero() && !c.said.Before(c.since) {
			c.log.Info("Redis is back", "away", now.Sub(c.since).Round(time.Second))
		}
		c.since = time.Time{}
	default:
		if c.since.IsZero() {
			c.since = now
		}
		if now.Sub(c.said) >= time.Minute {
			c.log.Warn("Redis cannot be reached; attempts go on, outcomes are kept until it is back", "err", err)
			c.said = now
		}
	}
}
