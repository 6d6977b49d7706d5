package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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
	// maxSilence is how long the subscription to cancellations may hear nothing before it is tried. The beat is behind it.
	maxSilence = 10 * time.Second
	// renewEvery is how often what the worker declares is renewed. Redis keeps it ten times as long.
	renewEvery = time.Minute
	// heartbeatTimeout leaves time for a second beat before the worker counts as dead. It is longer than two round trips to a
	// Redis that takes a second for each: after a timeout the next beat has to connect first.
	heartbeatTimeout = store.DeadAfter / 2
)

// heartbeats are those of a worker in all of its queues. The queues of a node of Redis are told together, and those of another node
// do not wait for them.
type heartbeats struct {
	*Worker
	over   *store.Store // a connection of its own, where that can be had: a pool that is used up must not make it look dead
	close  func()
	queues map[string]*beating

	listener *queue.Listener // nil until the worker takes calls
	sending  sync.WaitGroup  // a goroutine for each node

	mu   sync.Mutex
	busy map[string]bool // queues in which a beat is under way
}

// beating is what a worker has told of itself in a queue. Only who sends a beat there uses it.
type beating struct {
	about    store.About
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
	h := &heartbeats{Worker: w, close: func() {}, queues: map[string]*beating{}, busy: map[string]bool{}}
	host, _ := os.Hostname()
	since := time.Now().UnixMilli()
	for queue, functions := range w.declares {
		text, err := declared.NewText(queue, functions)
		if err != nil {
			return nil, err
		}
		about := store.About{Host: host, PID: os.Getpid(), Functions: w.Functions(), Since: since, Declares: text.Hash,
			Reads: store.RecordVersion, Slots: w.cfg.Concurrency}
		h.queues[queue] = &beating{about: about, declares: text, gates: w.gatesOf(queue)}
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

// sendAll sends a heartbeat in each queue, and returns when Redis has answered, or has not for as long as it may.
func (h *heartbeats) sendAll(ctx context.Context) {
	h.begin(ctx)
	h.sending.Wait()
}

// begin sends a heartbeat in each queue but those where one is under way.
func (h *heartbeats) begin(ctx context.Context) {
	if !h.slots.AreFree() {
		for _, q := range h.served {
			q.excuse()
		}
	}
	for node, queues := range h.store.NodesOf(ctx, h.take()) {
		h.sending.Go(func() {
			defer h.release(queues)
			h.report(ctx, node, queues, h.send(ctx, node, queues))
			h.look(ctx, queues)
		})
	}
}

// take marks the queues busy that are not, and returns them.
func (h *heartbeats) take() (idle []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for queue := range h.queues {
		if !h.busy[queue] {
			h.busy[queue] = true
			idle = append(idle, queue)
		}
	}
	return idle
}

func (h *heartbeats) release(queues []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, queue := range queues {
		delete(h.busy, queue)
	}
}

// report logs when a node does not answer, or not all that is asked there. err is that of its beats.
func (h *heartbeats) report(ctx context.Context, node string, queues []string, err error) {
	if ctx.Err() != nil {
		return
	}
	var served, failing []string
	for _, queue := range queues {
		_, why := h.served[queue].state()
		switch {
		case err == nil && why == nil:
			served = append(served, queue)
		default:
			failing = append(failing, queue)
			err = cmp.Or(err, why)
		}
	}
	h.outages.report(node, served, failing, err)
}

// look does what follows from a beat in each queue: nothing may hold up the beats themselves.
func (h *heartbeats) look(ctx context.Context, queues []string) {
	for _, queue := range queues {
		b := h.queues[queue]
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

// send tells a node of Redis what runs here, in each of its queues, ends what should not, and gives back claims that nobody here
// knows of. The error is one of those that Redis was not told.
func (h *heartbeats) send(ctx context.Context, node string, queues []string) (failed error) {
	answered, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	sent, heard := time.Now(), queue.Ask()
	beats := make([]store.Beat, len(queues))
	for i, name := range queues {
		beats[i] = h.beatOf(name, sent)
	}
	beaten, errs := h.over.HeartbeatMany(answered, beats)
	for i, name := range queues {
		h.served[name].beat(node, sent, errs[i])
		if errs[i] != nil {
			failed = cmp.Or(failed, errs[i])
			continue
		}
		h.hear(ctx, beats[i], beaten[i], sent, heard(beaten[i].Paused))
	}
	return failed
}

// beatOf is a beat in a queue.
func (h *heartbeats) beatOf(name string, now time.Time) store.Beat {
	b := h.queues[name]
	about := b.about
	about.Asked, about.Now = milli(h.served[name].lastAsked()), now.UnixMilli()
	about.Oldest, about.NotReady = h.running.oldest(name, now), h.unready.in(name)
	text, _ := json.Marshal(about)
	beat := store.Beat{Worker: h.id, Queue: name, About: string(text), Runs: h.running.claims(name), Declares: b.declares.Hash,
		Renew: now.Sub(b.renewed) >= renewEvery}
	if !b.there {
		beat.Text = b.declares.Text
	}
	if beat.Text != "" || beat.Renew {
		beat.Gates = b.gates
	}
	return beat
}

// milli is a time in Unix ms; 0 if there is none.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// hear does what Redis has answered to a beat.
func (h *heartbeats) hear(ctx context.Context, beat store.Beat, beaten store.Beaten, sent time.Time, paused queue.Heard) {
	b := h.queues[beat.Queue]
	if b.there = !beaten.Gone; b.there && (beat.Renew || beat.Text != "") {
		b.renewed = sent
	}
	b.looks = beaten.Aside
	if h.listener == nil {
		b.paused = paused
	} else {
		h.listener.HearPauses(beat.Queue, paused)
	}
	for _, claim := range beaten.Void {
		h.running.void(claim.Token)
	}
	for _, claim := range beaten.Unknown {
		if !h.running.has(claim.Token) { // one that is here was claimed after the beat was sent
			h.redeliver(ctx, store.Orphan{Worker: h.id, Claim: claim})
		}
	}
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
	sub := script.Subscribe(w.rdb, maxSilence)
	for _, queue := range w.Queues() {
		sub.Add(store.CancelChannel(queue, w.id))
	}
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() })
	defer stop()
	sub.Receive(func(what any) {
		if m, ok := what.(*redis.Message); ok {
			w.running.void(m.Payload)
		}
	})
}
