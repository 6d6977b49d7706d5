package store_test

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/refq/refq/refcache"
)

// actions are what may happen next. An action that stands there several times is as many times as likely.
func (w *modelWorld) actions() map[string]func(*rapid.T) {
	plain := func(action func()) func(*rapid.T) { return func(*rapid.T) { action() } }
	actions := map[string]func(*rapid.T){
		"":                 plain(w.compareInfos),
		"call":             plain(w.submitAction),
		"wait":             plain(w.waitAction),
		"cancel":           w.command(w.cancel, refcache.Status.InFlight),
		"delete":           w.command(w.remove, refcache.Status.IsFinal),
		"retry":            w.command(w.retry(false), modelHasFailed),
		"retry fresh":      w.command(w.retry(true), modelHasFailed),
		"invalidate":       plain(w.invalidateAction),
		"asynq":            plain(w.asynqAction),
		"beat":             plain(func() { w.worker().beat() }),
		"sweep":            plain(func() { w.worker().sweep() }),
		"worker dies":      plain(w.dieAction),
		"worker starts":    plain(w.startAction),
		"worker stops":     plain(func() { w.worker().stop() }),
		"progress":         plain(w.progressAction),
		"stale ring":       plain(w.staleRingAction),
		"time passes":      plain(w.timeAction),
		"clock steps":      plain(w.clockAction),
		"workers live on":  plain(w.quietAction),
		"worker hangs":     plain(w.hangAction),
		"network":          plain(w.networkAction),
		"copy":             plain(w.copyAction),
		"claim":            plain(w.claimAction),
		"function returns": plain(w.returnAction),
	}
	often := map[string]int{"call": 2, "claim": 6, "function returns": 6, "copy": 3, "network": 3, "progress": 2,
		"worker hangs": 2, "retry": 3, "retry fresh": 2}
	for name, times := range often {
		for ; times > 1; times-- {
			actions[name+" "+string(rune('0'+times))] = actions[name]
		}
	}
	return actions
}

// Choices are among seats and tasks, which are always there: a story stays one when a sentence is left out of it.

// worker draws one that lives.
func (w *modelWorld) worker() *modelWorker {
	if len(w.alive()) == 0 {
		w.t.Skip("no worker lives")
	}
	seat := rapid.IntRange(0, len(w.workers)-1).Draw(w.t, "worker")
	for w.workers[seat].dead {
		seat = (seat + 1) % len(w.workers)
	}
	return w.workers[seat]
}

// run draws an attempt that a living worker runs.
func (w *modelWorld) run() *modelRun {
	var runs []*modelRun
	for _, wk := range w.alive() {
		for _, r := range wk.runs {
			if r.claimed {
				runs = append(runs, r)
			}
		}
	}
	if len(runs) == 0 {
		w.t.Skip("nothing runs")
	}
	ref := modelPick(w, "task", w.refs)
	if i := slices.IndexFunc(runs, func(r *modelRun) bool { return r.ref == ref }); i >= 0 {
		return runs[i]
	}
	return runs[0]
}

// claimAction lets a worker hear a doorbell, or look at a task for no reason: asynq may always ring once too often.
func (w *modelWorld) claimAction() {
	ringing := w.ringing()
	if len(ringing) == 0 && len(w.sent)%8 > 0 {
		w.t.Skip("nothing rings")
	}
	wk, ref := w.worker(), modelPick(w, "task", w.refs)
	if i := slices.IndexFunc(ringing, func(b *modelBell) bool { return b.ref == ref }); i >= 0 {
		wk.answer(ref, ringing[i])
	} else if len(ringing) > 0 {
		wk.answer(ringing[0].ref, ringing[0])
	} else {
		wk.answer(ref, nil)
	}
}

func (w *modelWorld) returnAction() {
	r := w.run()
	if r.outcome != nil && w.draw("unanswered outcome", "is sent again", "is given up") == "is given up" {
		w.say("%s gives up the outcome of %s (%s)", r.worker.id, modelName(r.ref), r.token)
		r.over()
		return
	}
	outcomes := []modelOutcome{
		{kind: "complete", result: `"of ` + r.token + `"`},
		{kind: "error", result: "boom", delay: 1003 * time.Millisecond},
		{kind: "error", result: "boom", delay: 3 * time.Millisecond},
		{kind: "error", result: "boom", delay: 8003 * time.Millisecond},
		{kind: "error", result: "hopeless", permanent: true},
		{kind: "error", result: "hopeless", permanent: true},
		{kind: "release"},
		{kind: "function"},
		{kind: "member"},
		{kind: "member"},
	}
	r.returned(modelPick(w, "outcome", outcomes))
}

func (w *modelWorld) progressAction() {
	r := w.run()
	w.post(w.progress(r, int64(rapid.IntRange(1, 9).Draw(w.t, "progress"))))
}

// dieAction kills a worker. asynq gives its doorbells to others after a while, or never: it is known to lose some.
func (w *modelWorld) dieAction() {
	wk := w.worker()
	w.say("%s dies", wk.id)
	stuck := w.draw("asynq", "will find out", "will never find out") == "will never find out"
	for _, b := range w.bells {
		if b.state == "active" && b.by != nil && b.by.worker == wk {
			b.stuck = stuck
		}
	}
	wk.die()
}

func (w *modelWorld) startAction() {
	for seat, wk := range w.workers {
		if wk.dead {
			w.workers[seat] = w.newWorker(seat)
			w.say("%s starts", w.workers[seat].id)
			return
		}
	}
	w.t.Skip("no seat is free")
}

// staleRingAction is somebody who rings for a task as it was read some time ago.
func (w *modelWorld) staleRingAction() {
	p, ref := modelPick(w, "person", w.people), modelPick(w, "task", w.refs)
	if seen, ok := w.see(p, ref); ok {
		w.owesRing(p.name, seen, modelAtOnce)
	}
}

func (w *modelWorld) timeAction() {
	w.pass(rapid.SampledFrom([]time.Duration{10 * time.Millisecond, 500 * time.Millisecond, 1010 * time.Millisecond,
		6010 * time.Millisecond, time.Minute, 6 * time.Minute, 61 * time.Minute}).Draw(w.t, "time"))
}

// clockAction sets Redis's clock, as an administrator does, or a failover to another computer.
func (w *modelWorld) clockAction() {
	d := rapid.SampledFrom([]time.Duration{-5 * time.Second, -703 * time.Millisecond, 703 * time.Millisecond, 5 * time.Second}).Draw(w.t, "step")
	w.say("Redis's clock steps by %v", d)
	w.server.StepClock(d)
	modelAhead += d
	w.back += max(0, -d)
	w.pass(0)
}

// quietAction is a time in which nothing goes wrong.
func (w *modelWorld) quietAction() {
	w.quiet(rapid.SampledFrom([]int{1, 2, 5}).Draw(w.t, "ticks"), nil)
}

// hangAction lets a worker that runs something hang until it counts as dead. What the sweepers do about it may come
// late: after it has come back.
func (w *modelWorld) hangAction() {
	wk := w.run().worker
	w.say("%s hangs", wk.id)
	w.slow = rapid.Bool().Draw(w.t, "sweepers are slow")
	w.quiet(5, wk)
	w.slow = false
	if rapid.Bool().Draw(w.t, "comes back") {
		w.say("%s comes back", wk.id)
		wk.beat()
	}
	for _, l := range slices.Clone(w.late) {
		if l.reply == nil && l.c != nil && l.c.kind == "redeliver" && rapid.Bool().Draw(w.t, "redelivery arrives") {
			w.arrive(l)
		}
	}
}

func (w *modelWorld) quiet(ticks int, hangs *modelWorker) {
	w.calm = true
	for n := range ticks {
		w.tick(n, hangs)
	}
	w.calm = false
}

// modelTick is coarser than the second of real sweepers, to save time, and still less than a gap.
const modelTick = 2 * time.Second

// tick lets time pass in which workers do what they always do; one may hang.
func (w *modelWorld) tick(n int, hangs *modelWorker) {
	w.pass(modelTick)
	w.recoverBells()
	swept := false
	for _, wk := range w.alive() {
		if wk == hangs {
			continue
		}
		if n%2 == 0 {
			wk.beat()
		}
		if !swept {
			wk.sweep()
			swept = true
		}
	}
}

func (w *modelWorld) networkAction() {
	if len(w.late) == 0 {
		w.t.Skip("nothing is under way")
	}
	l := modelPick(w, "late", w.late)
	if !l.gone && w.draw("fate", "arrives", "is given up") == "is given up" {
		w.giveUp(l)
		return
	}
	w.arrive(l)
}
