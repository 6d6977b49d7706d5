package store_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// modelWorker is a worker's process: its id is new at each start, and its memory dies with it.
type modelWorker struct {
	w    *modelWorld
	id   string
	dead bool
	runs []*modelRun // exactly the tokens that somebody in here still claims, runs or finishes (R2)
}

// modelRun is an attempt in a worker's memory.
type modelRun struct {
	worker  *modelWorker
	ref     refcache.Ref
	token   string
	bell    *modelBell // that it answers; nil: the worker was asked for no reason
	claimed bool       // the claim was answered: run
	task    store.Record
	void    bool          // the worker was told that nobody wants the outcome
	outcome *modelCommand // once the function has returned
	copied  bool          // the claim may have arrived twice
}

func (w *modelWorld) newWorker(seat int) *modelWorker {
	starts := 0
	for _, id := range w.everybody {
		if id[1] == byte('1'+seat) {
			starts++
		}
	}
	wk := &modelWorker{w: w, id: fmt.Sprintf("w%d", seat+1)}
	if starts > 0 {
		wk.id += fmt.Sprintf(".%d", starts+1)
	}
	w.everybody = append(w.everybody, wk.id)
	return wk
}

func (r *modelRun) lives() bool { return slices.Contains(r.worker.runs, r) }

func (wk *modelWorker) has(token string) bool {
	return slices.ContainsFunc(wk.runs, func(r *modelRun) bool { return r.token == token })
}

func (wk *modelWorker) forget(r *modelRun) {
	wk.runs = slices.DeleteFunc(wk.runs, func(other *modelRun) bool { return other == r })
}

// answer looks at a task because of a doorbell, or for no reason. The token is in memory before the claim is sent.
func (wk *modelWorker) answer(ref refcache.Ref, b *modelBell) {
	w := wk.w
	w.tokens++
	r := &modelRun{worker: wk, ref: ref, token: fmt.Sprintf("t%d", w.tokens), bell: b}
	if b != nil {
		b.state, b.by, b.since, b.stuck = "active", r, time.Now(), false
	}
	wk.runs = append(wk.runs, r)
	w.post(w.claim(r))
}

// claimAnswered does what the answer to a claim says.
func (r *modelRun) claimAnswered(reply modelReply) {
	switch {
	case !r.lives():
	case reply.claim.Run:
		r.claimed, r.task = true, reply.claim.Record
	case reply.claim.Later > 0:
		r.worker.forget(r)
		r.worker.w.answered(r, "scheduled", reply.claim.Later)
	default:
		r.worker.forget(r)
		r.worker.w.answered(r, "", 0)
	}
}

func (r *modelRun) claimGivenUp() {
	if r.lives() && !r.claimed {
		r.worker.forget(r)
		r.worker.w.answered(r, "scheduled", time.Second)
	}
}

// returned is the end of the function: its outcome is sent, and sent again until there is an answer.
func (r *modelRun) returned(out modelOutcome) {
	if r.void {
		r.worker.w.say("%s drops its attempt of %s (%s)", r.worker.id, modelName(r.ref), r.token)
		r.worker.w.laws.onlyVoidIsDropped(r)
		r.over()
		return
	}
	if r.outcome == nil {
		r.outcome = r.worker.w.finish(r, out)
	}
	r.worker.w.post(r.outcome)
}

func (r *modelRun) finishAnswered(reply modelReply) {
	if !r.lives() {
		return
	}
	w, asked := r.worker.w, r.bell != nil && r.bell.by == r
	switch reply.finished.Status {
	case refcache.Failed:
		w.answered(r, "archived", 0)
	case refcache.Retrying:
		w.answered(r, "scheduled", reply.finished.Delay)
	case refcache.Pending:
		w.answered(r, "waiting", 0)
	}
	r.over()
	if s := reply.finished.Status; !asked && (s == refcache.Retrying || s == refcache.Pending) {
		anew := w.execute(w.newDelivery(r.worker.id, r.ref, r.task.Delivery), "")
		if anew.says != modelNoRecord {
			w.owesRing(r.worker.id, anew.task, modelAtOnce)
		}
	}
}

// over ends the attempt in memory; asynq is told that it needs nothing more, unless it was told otherwise.
func (r *modelRun) over() {
	r.worker.forget(r)
	r.worker.w.answered(r, "", 0)
}

// beat sends what runs here: only attempts whose claim was answered by now.
func (wk *modelWorker) beat() {
	var names []store.Claim
	for _, r := range wk.runs {
		if r.claimed {
			names = append(names, store.Claim{Ref: r.ref, Token: r.token})
		}
	}
	wk.w.post(wk.w.beat(wk, names))
}

func (wk *modelWorker) beaten(reply modelReply) {
	if wk.dead {
		return
	}
	for _, c := range reply.void {
		for _, r := range wk.runs {
			r.void = r.void || r.token == c.Token
		}
	}
	for _, c := range reply.unknown {
		if !wk.has(c.Token) {
			wk.redeliver(wk.id, c)
		}
	}
}

// redeliver takes an attempt from a worker, perhaps itself.
func (wk *modelWorker) redeliver(from string, c store.Claim) {
	wk.w.post(wk.w.redeliver(wk, from, c))
}

func (wk *modelWorker) sweep() { wk.w.post(wk.w.sweep(wk)) }

func (wk *modelWorker) swept(reply modelReply) {
	w := wk.w
	if wk.dead {
		return
	}
	for _, orphan := range reply.swept.Orphans {
		wk.redeliver(orphan.Worker, orphan.Claim)
	}
	for _, idle := range reply.swept.Idle {
		w.post(w.removeWorker(idle, wk.id))
	}
	for _, waits := range reply.swept.Silent {
		reply := w.execute(w.read(wk.id, waits.Ref, ""), "")
		if reply.says != modelNoRecord && w.silent(reply.task) {
			w.owesRing(wk.id, reply.task, modelPatient)
		}
	}
}

// stop ends the process in good order: what runs is handed back.
func (wk *modelWorker) stop() {
	w := wk.w
	w.say("%s stops", wk.id)
	for _, r := range slices.Clone(wk.runs) {
		if r.claimed {
			r.returned(modelOutcome{kind: "release"})
		}
	}
	w.post(w.removeWorker(wk.id, wk.id))
	wk.die()
}

func (wk *modelWorker) die() {
	wk.dead, wk.runs = true, nil
}
