package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

const (
	claimAgain   = time.Second     // after a claim that could not be made
	slotAgain    = 0               // another worker may take it at once
	unknownAgain = 5 * time.Second // after a function that this worker does not know
)

// answer looks at the task that a doorbell is about: it claims, runs and finishes an attempt if one is due. What it
// tells asynq decides only how soon asynq rings again. A slot is taken for it.
func (w *Worker) answer(asked context.Context, d queue.Rung) queue.Answer {
	claimed := w.onTheWay.pick(d.Ref)
	if w.isStopping() {
		if claimed != nil {
			w.giveBack(claimed, "the worker stops")
		}
		<-w.slots
		return queue.Again(slotAgain, "the worker stops", false)
	}
	if claimed != nil {
		defer w.drop(claimed.run)
		return w.answerWith(asked, claimed.run, claimed.claim, d.Ack)
	}
	r := w.live.add(d.Ref, rand.Text())
	defer w.drop(r) // also when somebody's code panics here: asynq would go on, and the attempt would look alive for ever
	claim, err := w.claim(asked, r)
	switch {
	case errors.Is(err, store.ErrDamaged): // nothing was written; the archive shows people what to do
		w.log.Warn("damaged record: task is not run", "ref_id", d.Ref, "err", err)
		return queue.Archive(err.Error())
	case err != nil:
		return queue.Again(claimAgain, err.Error(), false)
	case claim.Later > 0:
		return queue.Again(claim.Later, "it is not to be run yet", false)
	case !claim.Run:
		return queue.Answer{}
	}
	w.live.claimed(r, d.Ref)
	return w.answerWith(asked, r, claim, d.Ack)
}

// claim claims an attempt, but one of a suspect only if no other suspect runs here: whichever of them brings this process
// down, the other must not be lost once more.
func (w *Worker) claim(ctx context.Context, r *run) (store.ClaimAnswer, error) {
	answer, err := w.store.ClaimUnsuspected(ctx, r.ref, r.token, w.id)
	if err != nil || !answer.Suspect {
		return answer, err
	}
	select {
	case w.suspect <- struct{}{}:
		r.suspect = true // until it is dropped
	default:
		return answer, nil
	}
	return w.store.Claim(ctx, r.ref, r.token, w.id)
}

// drop forgets the attempt, and frees its slot once the function has really returned.
func (w *Worker) drop(r *run) {
	w.live.remove(r)
	if r.returned == nil {
		w.free(r)
		return
	}
	go func() { // usually returns at once
		<-r.returned
		w.free(r)
	}()
}

func (w *Worker) free(r *run) {
	if r.suspect {
		<-w.suspect
	}
	<-w.slots
}

func (w *Worker) isStopping() bool {
	select {
	case <-w.stopping:
		return true
	default:
		return false
	}
}

// answerWith runs the attempt that was claimed and finishes it, with ack for the doorbell.
func (w *Worker) answerWith(asked context.Context, r *run, claim store.ClaimAnswer, ack *script.Piggyback) queue.Answer {
	task := claim.Record
	o := w.observe(r, claim)
	again := time.Duration(0)
	name := function{task.Policy.Name, task.Policy.Version}
	var end ending
	if h, ok := w.handlers[name]; ok {
		end = w.execute(r, h, claim)
	} else {
		end.event = counters.AttemptHandedBack
		end.outcome = store.Released(fmt.Sprintf("worker %s does not know function %s", w.id, name), w.id)
		again = unknownAgain
	}
	var finished store.Finished
	if end.event != counters.AttemptCancelled {
		end.outcome.Ack = ack
		finished = w.finish(r, end.outcome)
	}
	o.ended(end, finished)
	if asked.Err() != nil {
		w.ringAnew(r, task, finished)
	}
	return answerFor(finished, again)
}

func answerFor(f store.Finished, again time.Duration) queue.Answer {
	if f.Acked {
		return queue.Acknowledged()
	}
	switch f.Status {
	case refcache.Failed:
		return queue.Archive("attempt failed: see refq")
	case refcache.Retrying:
		return queue.Again(f.Delay, "attempt failed: see refq", true)
	case refcache.Pending:
		return queue.Again(again, "handed back", false)
	}
	return queue.Answer{}
}

// ringAnew makes up for an answer that asynq no longer waits for: the doorbell under way is asynq's to give up, in a
// minute or two, so a task that waits gets a new one.
func (w *Worker) ringAnew(r *run, task store.Record, f store.Finished) {
	if f.Status != refcache.Retrying && f.Status != refcache.Pending {
		return
	}
	task, err := w.store.Renumber(w.live.base, task.Ref, task.Delivery)
	if err == nil {
		err = w.bell.Ring(w.live.base, task, queue.AtOnce)
	}
	if err != nil {
		w.log.Warn("task waits for a sweep", r.about("err", err)...)
	}
}
