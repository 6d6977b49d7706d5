package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/declared"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// attempt is one try to run a call, from its doorbell to its stored outcome. One goroutine at a time has it: the one that
// dequeued the doorbell with the claim, then the one that asynq calls. The function runs in a goroutine of its own, which may
// return later, and reads running and progress alone.
type attempt struct {
	worker *Worker
	token  string
	ctx    context.Context // of the function; it ends with ErrVoid or ErrShutdown
	cancel context.CancelCauseFunc

	// Written under running.mu when the attempt is claimed: heartbeats name those that were.
	ref     refcache.Ref
	claimed store.ClaimAnswer // Run: it was claimed

	claimedAt time.Time
	slot      *queue.Slot // nil for an attempt that was claimed with its doorbell, until asynq hands that over
	suspect   bool        // it takes the place of the one suspect that runs

	// Set before the function is called.
	traceID  string // empty: it is not traced
	progress progress
	returned chan struct{} // closed when the function has returned; nil when it was not called

	// How it went: set by run and finish, read by observe.
	event    counters.Event // AttemptCancelled: nobody wants the outcome
	outcome  store.Outcome
	err      error         // what it failed with
	took     time.Duration // by the function
	again    time.Duration // until asynq is to hand the doorbell to a worker that may know what this one lacks
	finished store.Finished
	lack     *lackError // why it is handed on; nil: it is not, or for lack of the function
}

const (
	claimAgain   = time.Second     // after a claim that could not be made
	slotAgain    = 0               // another worker may take it at once
	unknownAgain = 5 * time.Second // after a function that this worker does not know
)

// newAttempt starts an attempt under a new token, before it is claimed (R2). ref is empty when nobody knows yet which call it is.
func (w *Worker) newAttempt(ref refcache.Ref) *attempt {
	a := &attempt{worker: w, token: rand.Text(), ref: ref}
	w.running.add(a)
	return a
}

// dequeue takes a doorbell out of a list of a queue, and claims its call in the same step if that is as simple as it mostly is.
func (w *Worker) dequeue(ctx context.Context, name string, from store.Doorbells) (queue.Dequeued, error) {
	a := w.newAttempt("")
	taken, err := w.store.DequeueAndClaim(ctx, name, a.token, w.id, w.known, from)
	d := queue.Dequeued{Message: taken.Message, Ref: taken.Ref, More: taken.More}
	switch claim := taken.Claim; {
	case claim.Run:
		w.running.claim(a, claim)
		d.Claimed = &queue.Claimed{Run: a.answer, HandBack: a.handBack}
		return d, err
	case claim.Later > 0:
		d.Claimed = &queue.Claimed{HandBack: func(string) {}, Run: func(_ context.Context, d queue.Doorbell) queue.Answer {
			d.Slot.Release()
			return queue.Again(claim.Later, "an earlier doorbell of the call waits", false)
		}}
	}
	w.running.remove(a)
	return d, err
}

// answer answers a doorbell: it claims, runs and finishes an attempt if one is due. What it tells asynq decides only how soon the
// doorbell rings again.
func (w *Worker) answer(asked context.Context, d queue.Doorbell) queue.Answer {
	return w.newAttempt(d.Ref).answer(asked, d)
}

func (a *attempt) answer(asked context.Context, d queue.Doorbell) queue.Answer {
	a.slot = d.Slot
	defer a.leave() // also when somebody's code panics here: asynq would go on, and the attempt would look alive for ever
	if a.worker.isStopping() {
		if a.claimed.Run {
			a.outcome = store.Released("the worker stops", a.worker.id)
			a.finish()
		}
		return queue.Again(slotAgain, "the worker stops", false)
	}
	if !a.claimed.Run {
		if answer := a.claim(asked, d.Paused); !a.claimed.Run {
			return answer
		}
	}
	a.runAndFinish(d)
	if asked.Err() != nil {
		a.requeue()
	}
	return a.answerAsynq()
}

// claim claims the attempt, but one of a suspect only if no other suspect runs here: whichever of them brings this process down,
// the other must not be lost once more. A call of a function that is paused is not claimed either. When it has not claimed it, the answer says why there is nothing to run.
func (a *attempt) claim(asked context.Context, paused string) queue.Answer {
	w := a.worker
	claim, err := w.store.ClaimUnsuspected(asked, a.ref, a.token, w.id, paused)
	if err == nil && claim.Suspect {
		select {
		case w.suspect <- struct{}{}:
			a.suspect = true // until it leaves
			claim, err = w.store.Claim(asked, a.ref, a.token, w.id)
		default:
		}
	}
	switch {
	case errors.Is(err, store.ErrDamaged): // nothing was written; the archive shows people what to do
		w.log.Warn("damaged record: task is not run", "ref_id", a.ref, "err", err)
		return queue.Archive(err.Error())
	case err != nil:
		return queue.Again(claimAgain, err.Error(), false)
	case claim.Later > 0:
		return queue.Again(claim.Later, "it is not to be run yet", false)
	case claim.Run:
		w.running.claim(a, claim)
	}
	return queue.Answer{}
}

// task is the record as the claim left it.
func (a *attempt) task() store.Record { return a.claimed.Record }

// runAndFinish runs the function and writes the outcome, and acknowledges the doorbell in the same step if that is known how.
func (a *attempt) runAndFinish(d queue.Doorbell) {
	w, policy := a.worker, a.task().Policy
	name := function{policy.Name, policy.Version}
	entered, err := a.enter(name)
	if !entered {
		return
	}
	defer w.observe(a)()
	if h, ok := w.handlers[name]; ok && err != nil {
		a.judge(result{err: err, cause: refcache.CauseError}, nil)
	} else if ok {
		a.run(h)
	} else {
		a.event, a.again = counters.AttemptHandedBack, unknownAgain
		a.outcome = store.HandedOn(fmt.Sprintf("worker %s does not know function %s", w.id, name), w.id, store.LacksFunction)
	}
	if a.event != counters.AttemptCancelled {
		a.outcome.Ack = d.Ack
		a.finish()
	}
}

// enter has a call ask for its turn that came without one, or in another gate than its function has here. False: it does not run
// now, and there is nothing to finish. The error is why it cannot run at all.
func (a *attempt) enter(name function) (bool, error) {
	w := a.worker
	f, ok := w.gated[name]
	if !ok || a.task().Turn.Gate == f.policy.Gate.Name {
		return true, nil
	}
	turn, err := w.turnOf(name, a.claimed.Args)
	if err != nil {
		return true, err
	}
	for wait := firstFinishWait; ; wait = min(2*wait, maxFinishWait) {
		entered, err := w.store.Enter(w.running.base, a.ref, a.token, turn)
		switch {
		case err == nil && entered == store.EnteredRuns:
			a.claimed.Record.Turn = turn
			return true, nil
		case err == nil, errors.Is(err, store.ErrDamaged):
			return false, nil // what is left of the claim is for the beat, or for who sweeps
		case isRefusal(err), w.isStopping():
			a.handOver(fmt.Sprintf("worker %s could not ask for its turn: %v", w.id, err))
			return false, nil
		}
		select {
		case <-time.After(wait):
		case <-a.ctx.Done():
			return false, nil
		}
	}
}

// handOver hands back an attempt whose function was not called.
func (a *attempt) handOver(why string) {
	a.event, a.again = counters.AttemptHandedBack, claimAgain
	a.outcome = store.Released(why, a.worker.id)
	a.finish()
}

// judge finds what the function has returned to be the outcome, knowing why its context ended, if it did.
func (a *attempt) judge(r result, ended error) {
	w := a.worker
	var timeout *TimeoutError
	var lack *lackError
	closed := closedFor(r.err)
	unready, isUnready := errors.AsType[*notReadyError](r.err)
	switch {
	case errors.Is(ended, ErrVoid):
		a.event = counters.AttemptCancelled
		return
	case isUnready && !errors.Is(ended, ErrShutdown):
		a.notReady(r.err, unready.lasts)
		return
	case errors.As(r.err, &lack):
		a.event, a.again, a.lack = counters.AttemptHandedBack, unknownAgain, lack
		a.outcome = store.HandedOn(w.lacks(a.ctx, lack, a.ref.Queue()), w.id, store.LacksMember)
		return
	case r.err == nil && len(r.value) > w.cfg.MaxResult:
		r.err = Permanent(fmt.Errorf("result has %d bytes, more than max_result %d", len(r.value), w.cfg.MaxResult))
	case r.err == nil:
		a.event, a.outcome = counters.AttemptComplete, w.store.Completed(r.value)
		return
	case errors.Is(ended, ErrShutdown):
		a.event, a.outcome = counters.AttemptHandedBack, store.Released("", w.id)
		return
	case closed > 0 && a.task().Turn.Gate != "":
		a.event, a.err = counters.AttemptHandedBack, r.err
		a.outcome = store.UnavailableFor(clip(errorText(r.err), maxError), closed, w.id)
		return
	case errors.As(ended, &timeout):
		r.cause = refcache.CauseTimeout
		if !errors.As(r.err, &timeout) {
			r.err = fmt.Errorf("%w: %w", ended, r.err)
		}
	}
	a.event, a.err = causes[r.cause], r.err
	a.outcome = store.Errored(w.failure(a.task(), r))
}

// notReady hands the call on to workers that can run its function, which this one cannot for a time.
func (a *attempt) notReady(err error, lasts time.Duration) {
	w, policy, why := a.worker, a.task().Policy, clip(errorText(err), maxNote)
	a.event, a.err = counters.AttemptHandedBack, err
	a.outcome = store.HandedOn(why, w.id, store.LacksProgram)
	w.unready.begin(function{policy.Name, policy.Version}, policy.Queue, why, lasts)
	w.unready.tell(policy.Queue)
}

// lacks tells people of a member that a call has and this worker does not know; and if so that no living worker does.
func (w *Worker) lacks(ctx context.Context, lack *lackError, queue string) string {
	member, top := lack.Member()
	note := fmt.Sprintf("worker %s does not know member %.100q of %s", w.id, member, lack.function)
	all, err := w.declared.All(ctx, queue, lack.function.String())
	if err == nil && top && len(all) > 0 && !slices.ContainsFunc(all, func(f declared.Function) bool { return f.Takes(member) }) {
		note += ", and no living worker does"
	}
	return note
}

// finish writes the outcome, for as long as the process lives: while Redis is away the outcome waits here, in its slot. finished
// is zero when the outcome is void, or was given up.
func (a *attempt) finish() { a.finished = a.worker.finish(a) }

// answerAsynq tells asynq what became of the call.
func (a *attempt) answerAsynq() queue.Answer {
	if a.finished.Acked {
		return queue.Acknowledged()
	}
	switch a.finished.Status {
	case refcache.Failed:
		return queue.Archive("attempt failed: see refq")
	case refcache.Retrying:
		return queue.Again(a.finished.Delay, "attempt failed: see refq", true)
	case refcache.Pending:
		return queue.Again(a.again, "handed back", false)
	}
	return queue.Answer{}
}

// handBack ends an attempt that was claimed with its doorbell, when asynq has not handed that over.
func (a *attempt) handBack(why string) {
	defer a.leave()
	a.outcome = store.Released(why, a.worker.id)
	a.finish()
	a.requeue()
}

// requeue makes up for an answer that asynq does not wait for: the doorbell under way is asynq's to give up, in a minute or two,
// so a call that waits gets a new one.
func (a *attempt) requeue() {
	if a.finished.Status != refcache.Retrying && a.finished.Status != refcache.Pending {
		return
	}
	w, task := a.worker, a.task()
	task, err := w.store.NewDelivery(w.running.base, task.Ref, task.Delivery)
	if err == nil {
		err = w.queue.Enqueue(w.running.base, task, queue.AtOnce)
	}
	if err != nil {
		w.log.Warn("task waits for a sweep", a.about("err", err)...)
	}
}

// leave forgets the attempt, and releases its slot once the function has really returned.
func (a *attempt) leave() {
	a.worker.running.remove(a)
	if a.returned == nil {
		a.release()
		return
	}
	go func() { // usually returns at once
		<-a.returned
		a.release()
	}()
}

func (a *attempt) release() {
	if a.suspect {
		<-a.worker.suspect
	}
	if a.slot != nil {
		a.slot.Release()
	}
}
