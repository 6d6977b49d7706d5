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

	"github.com/refq/refq/internal/declared"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
)

const (
	heartbeatEvery = 2 * time.Second
	// renewEvery is how often what the worker declares is renewed. Redis keeps it ten times as long.
	renewEvery = time.Minute
	// pingEvery is how often a subscription without messages is tried. The beat is behind it.
	pingEvery = 10 * time.Second
	// heartbeatTimeout leaves time for a second beat before the worker counts as dead. It is longer than two round trips to a
	// Redis that takes a second for each: after a timeout the next beat has to connect first.
	heartbeatTimeout = store.DeadAfter / 2
)

// heartbeats are those of a worker in all of its queues. One goroutine at a time sends them.
type heartbeats struct {
	*Worker
	over   *store.Store // a connection of its own, where that can be had: a pool that is used up must not make it look dead
	close  func()
	queues map[string]*beating

	listener *queue.Listener // nil until the worker takes calls
}

// beating is what a worker has told of itself in a queue.
type beating struct {
	about    string // an [store.About] as JSON
	declares declared.Text
	gates    map[string]store.GateNumbers
	there    bool        // Redis has the text, as far as is known
	renewed  time.Time   // when it was last told to keep it
	looks    bool        // doorbells are set aside in the queue, under whatever name
	aside    []string    // under which doorbells were set aside for the worker before there was a listener
	paused   queue.Heard // what was paused then
}

// newHeartbeats prepares the heartbeats. The error is that the functions cannot be declared.
func (w *Worker) newHeartbeats() (*heartbeats, error) {
	h := &heartbeats{Worker: w, close: func() {}, queues: map[string]*beating{}}
	host, _ := os.Hostname()
	since := time.Now().UnixMilli()
	for queue, functions := range w.declares {
		text, err := declared.NewText(queue, functions)
		if err != nil {
			return nil, err
		}
		about, _ := json.Marshal(store.About{Host: host, PID: os.Getpid(), Functions: w.Functions(), Since: since, Declares: text.Hash,
			Reads: store.RecordVersion, Slots: w.cfg.Concurrency})
		h.queues[queue] = &beating{about: string(about), declares: text, gates: w.gatesOf(queue)}
	}
	return h, nil
}

// connect opens the connection, which close ends.
func (h *heartbeats) connect() {
	rdb, closeOwn := ownConnection(h.rdb)
	h.over, h.close = h.store.Over(rdb), closeOwn
}

// listens is told of the listener, which hears of what is set aside in a queue from now on, and of what was before.
func (h *heartbeats) listens(l *queue.Listener) {
	h.listener = l
	for queue, b := range h.queues {
		l.HearAside(queue, b.aside)
	}
}

// each calls f at every tick until ctx ends.
func each(ctx context.Context, every time.Duration, f func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// sendAll sends a heartbeat in each queue.
func (h *heartbeats) sendAll(ctx context.Context) {
	sent, all := time.Now(), true
	for queue, b := range h.queues {
		all = h.send(ctx, queue, b) && all
	}
	if all {
		h.beaten.set(sent)
	}
	for queue, b := range h.queues { // behind all beats: nothing may hold these up
		if !h.tellPauses(ctx, queue) || b.looks && !h.lookAside(ctx, queue, b) {
			break
		}
	}
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

// send tells Redis what runs here, ends what should not, and gives back claims that nobody here knows of. False: Redis was
// not told.
func (h *heartbeats) send(ctx context.Context, name string, b *beating) bool {
	answered, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	sent := time.Now()
	beat := store.Beat{Worker: h.id, About: b.about, Runs: h.running.claims(name), Declares: b.declares.Hash,
		Renew: sent.Sub(b.renewed) >= renewEvery}
	if !b.there {
		beat.Text = b.declares.Text
	}
	if beat.Text != "" || beat.Renew {
		beat.Gates = b.gates
	}
	heard := queue.Ask()
	beaten, err := h.over.Heartbeat(answered, name, beat)
	if h.contact.report(ctx, err); err != nil {
		return false
	}
	if b.there = !beaten.Gone; b.there && (beat.Renew || beat.Text != "") {
		b.renewed = sent
	}
	b.looks = beaten.Aside
	if h.listener == nil {
		b.paused = heard(beaten.Paused)
	} else {
		h.listener.HearPauses(name, heard(beaten.Paused))
	}
	for _, claim := range beaten.Void {
		h.running.void(claim.Token)
	}
	for _, claim := range beaten.Unknown {
		if !h.running.has(claim.Token) { // one that is here was claimed after the beat was sent
			h.redeliver(ctx, store.Orphan{Worker: h.id, Claim: claim})
		}
	}
	return true
}

// tellPauses has Redis know what this worker does not start now, if it does not know. False: it could not be told, and after the
// next beat it is.
func (h *heartbeats) tellPauses(ctx context.Context, queue string) bool {
	if h.listener == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	return h.listener.TellPauses(ctx, h.over, queue) == nil
}

// paused is what was paused in the queues when nothing had been taken yet.
func (h *heartbeats) paused() map[string]queue.Heard {
	all := map[string]queue.Heard{}
	for name, b := range h.queues {
		all[name] = b.paused
	}
	return all
}

// lookAside looks behind the wake-ups for doorbells that are set aside. False: it could not, and after the next beat it does.
func (h *heartbeats) lookAside(ctx context.Context, queue string, b *beating) bool {
	ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	names, err := h.over.Aside(ctx, queue, h.known)
	switch {
	case err != nil:
		return false
	case h.listener == nil:
		b.aside = names
	default:
		h.listener.HearAside(queue, names)
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
	for _, err := range w.store.Leave(ctx, w.Queues(), w.id) {
		w.log.Debug("worker stays listed until others miss it", "err", err)
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
