package store_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Each of these makes a command: the call of the Store, and the oracle's rule for it.

func modelIgnore(modelReply) {}
func modelGiveUp()           {}

// modelAnswer makes a reply of an answer that carries the record.
func modelAnswer(what string, task store.Record) modelReply {
	return modelReply{says: modelAbout(what, task.Status, task.Cycle, task.Delivery), task: task}
}

func (w *modelWorld) submit(p *modelPerson, ref refcache.Ref, s store.Submission) *modelCommand {
	says := fmt.Sprintf("%s calls %s (%s) with %d retries", p.name, modelName(ref), s.Request, s.Policy.MaxRetries)
	if s.RetryFailed {
		says += ", anew if it failed"
	}
	if s.Refresh {
		says += ", anew if it is complete"
	}
	if s.KeyConflict != "" {
		says += fmt.Sprintf(", with %s or else %s", s.Args, s.KeyConflict)
	}
	if s.MaxAge > 0 || s.Fresh > 0 {
		says += fmt.Sprintf(", max age %v, fresh %v", s.MaxAge, s.Fresh)
	}
	if len(s.Stamps) > 0 {
		says += fmt.Sprintf(", looking at %q", s.Stamps)
	}
	return &modelCommand{kind: "submit", ref: ref, req: s.Request, maxAge: s.MaxAge, stamps: s.Stamps, says: says,
		send: func() (modelReply, error) {
			answer, err := w.store.Submit(w.ctx, ref, s)
			if errors.Is(err, refcache.ErrKeyConflict) {
				return modelReply{says: modelConflict}, nil
			}
			what := map[bool]string{true: "starts", false: "finds"}[answer.Starts]
			reply := modelAnswer(what, answer.Record)
			reply.answered = answer.Result != nil
			reply.invalid = reply.answered && !answer.AsOf().After(answer.Stamp)
			reply.says += modelResult(string(answer.Result), reply.invalid)
			return reply, err
		},
		rule: func() string { return w.oracle.submit(ref, s) },
		hear: func(r modelReply) {
			if r.task.Status == refcache.Pending { // whoever started it may have died before it rang (R14)
				w.owesRing(p.name, r.task, modelAtOnce)
			}
		},
		lose: modelGiveUp,
	}
}

func (w *modelWorld) claim(r *modelRun) *modelCommand {
	id := r.worker.id
	says := fmt.Sprintf("%s claims %s (%s)", id, modelName(r.ref), r.token)
	if r.bell == nil {
		says += ", unasked"
	}
	sent := 0
	return &modelCommand{kind: "claim", ref: r.ref, token: r.token, says: says,
		send: func() (modelReply, error) {
			sent++
			r.copied = sent > 1
			answer, err := w.store.Claim(w.ctx, r.ref, r.token, id)
			reply := modelReply{says: modelAcknowledge, claim: answer}
			switch {
			case answer.Run:
				reply.says = modelAnswer(fmt.Sprintf("run attempt %d", answer.Record.Attempt), answer.Record).says
			case answer.Later > 0:
				reply.says = fmt.Sprintf("come back in %d ms", answer.Later.Milliseconds())
			}
			return reply, err
		},
		rule: func() string { return w.oracle.claim(r.ref, r.token, id) },
		hear: r.claimAnswered,
		lose: r.claimGivenUp,
	}
}

func (w *modelWorld) finish(r *modelRun, out modelOutcome) *modelCommand {
	outcome := store.Released("", r.worker.id)
	says := "hands back"
	switch out.kind {
	case "complete":
		outcome, says = w.store.Completed([]byte(out.result)), "completes"
	case "function", "member":
		outcome, says = store.HandedOn(out.kind, r.worker.id, store.Lack(out.kind)), "hands on for lack of a "+out.kind
	case "error":
		outcome = store.Errored(store.Failure{Error: out.result, Cause: refcache.CauseError, Permanent: out.permanent, Delay: out.delay})
		says = fmt.Sprintf("reports an error, again in %v, of", out.delay)
		if out.permanent {
			says = "reports a permanent error of"
		}
	}
	return &modelCommand{kind: "finish", ref: r.ref, token: r.token,
		says: fmt.Sprintf("%s %s %s (%s)", r.worker.id, says, modelName(r.ref), r.token),
		send: func() (modelReply, error) {
			finished, err := w.store.Finish(w.ctx, r.ref, r.token, outcome)
			reply := modelReply{says: modelNotYours, finished: finished}
			if finished.Current {
				reply.says = modelFinished(finished.Status, modelNow()+finished.Delay.Milliseconds())
			}
			return reply, err
		},
		rule: func() string { return w.oracle.finish(r.ref, r.token, out) },
		hear: r.finishAnswered,
		lose: modelGiveUp, // it keeps the outcome and sends it again
	}
}

func (w *modelWorld) progress(r *modelRun, current int64) *modelCommand {
	return &modelCommand{kind: "progress", ref: r.ref, token: r.token,
		says: fmt.Sprintf("%s reports progress %d of %s (%s)", r.worker.id, current, modelName(r.ref), r.token),
		send: func() (modelReply, error) {
			noted, err := w.store.Progress(w.ctx, r.ref, r.token, refcache.Progress{Current: current})
			return modelReply{says: map[bool]string{true: "noted", false: modelNotYours}[noted]}, err
		},
		rule: func() string { return w.oracle.progress(r.ref, r.token, current) },
		hear: modelIgnore,
		lose: modelGiveUp,
	}
}

func (w *modelWorld) redeliver(by *modelWorker, from string, c store.Claim) *modelCommand {
	return &modelCommand{kind: "redeliver", ref: c.Ref, token: c.Token,
		says: fmt.Sprintf("%s takes %s (%s) from %s", by.id, modelName(c.Ref), c.Token, from),
		send: func() (modelReply, error) {
			taken, task, err := w.store.Redeliver(w.ctx, c, from, by.id)
			if !taken {
				return modelReply{says: modelNothing}, err
			}
			reply := modelAnswer("taken", task)
			reply.yes = true
			return reply, err
		},
		rule: func() string { return w.oracle.redeliver(c.Ref, c.Token, by.id) },
		hear: func(r modelReply) {
			if r.yes && !by.dead {
				w.owesRing(by.id, r.task, modelAtOnce)
			}
		},
		lose: modelGiveUp,
	}
}

func (w *modelWorld) newDelivery(who string, ref refcache.Ref, delivery int) *modelCommand {
	return &modelCommand{kind: "new_delivery", ref: ref,
		says: fmt.Sprintf("%s gives %s a new delivery after %d", who, modelName(ref), delivery),
		send: func() (modelReply, error) {
			task, err := w.store.NewDelivery(w.ctx, ref, delivery)
			return modelAnswer("is", task), err
		},
		rule: func() string { return w.oracle.newDelivery(ref, delivery) },
		hear: modelIgnore,
		lose: modelGiveUp,
	}
}

// retry makes the command of a person who has seen the task.
func (w *modelWorld) retry(fresh bool) func(p *modelPerson, seen store.Record) *modelCommand {
	return func(p *modelPerson, seen store.Record) *modelCommand {
		request, how := w.request(), map[bool]string{true: "with a fresh budget", false: "with what is left"}[fresh]
		return &modelCommand{kind: "retry", ref: seen.Ref, req: request,
			says: fmt.Sprintf("%s retries %s (%s), seen as %s, delivery %d, %s", p.name, modelName(seen.Ref), request, seen.Status, seen.Delivery, how),
			send: func() (modelReply, error) {
				outcome, task, err := w.store.Retry(w.ctx, seen, request, p.name, fresh)
				reply := modelAnswer(string(outcome), task)
				reply.yes = outcome == store.RetryAccepted
				return reply, err
			},
			rule: func() string { return w.oracle.retry(seen, request, p.name, fresh) },
			hear: func(r modelReply) {
				if r.yes {
					w.owesRing(p.name, r.task, modelAtOnce)
				}
			},
			lose: modelGiveUp,
		}
	}
}

func (w *modelWorld) cancel(p *modelPerson, seen store.Record) *modelCommand {
	return &modelCommand{kind: "cancel", ref: seen.Ref,
		says: fmt.Sprintf("%s cancels %s, seen in cycle %d", p.name, modelName(seen.Ref), seen.Cycle),
		send: func() (modelReply, error) {
			done, task, err := w.store.Cancel(w.ctx, seen, p.name)
			return modelAnswer(map[bool]string{true: "done", false: "refused"}[done], task), err
		},
		rule: func() string { return w.oracle.cancel(seen, p.name) },
		hear: modelIgnore,
		lose: modelGiveUp,
	}
}

func (w *modelWorld) invalidate(p *modelPerson, names []string) *modelCommand {
	return &modelCommand{kind: "invalidate", stamps: names, says: fmt.Sprintf("%s invalidates %q", p.name, names),
		send: func() (modelReply, error) {
			return modelReply{says: "done"}, w.store.Invalidate(w.ctx, modelQueue, names)
		},
		rule: func() string { return w.oracle.invalidate(names) },
		hear: modelIgnore,
		lose: modelGiveUp,
	}
}

func (w *modelWorld) remove(p *modelPerson, seen store.Record) *modelCommand {
	return &modelCommand{kind: "delete", ref: seen.Ref,
		says: fmt.Sprintf("%s deletes %s, seen in cycle %d", p.name, modelName(seen.Ref), seen.Cycle),
		send: func() (modelReply, error) {
			gone, err := w.store.Delete(w.ctx, seen)
			return modelReply{says: map[bool]string{true: "gone", false: "in flight"}[gone]}, err
		},
		rule: func() string { return w.oracle.remove(seen) },
		hear: modelIgnore,
		lose: modelGiveUp,
	}
}

func (w *modelWorld) read(who string, ref refcache.Ref, inbox string) *modelCommand {
	return &modelCommand{kind: "read", ref: ref,
		says: fmt.Sprintf("%s reads %s", who, modelName(ref)),
		send: func() (modelReply, error) {
			task, result, err := w.store.Result(w.ctx, ref, inbox)
			reply := modelAnswer("is", task)
			reply.says += fmt.Sprintf(", result %q", result)
			return reply, err
		},
		rule: func() string { return w.oracle.wait(ref, inbox) },
		hear: modelIgnore,
		lose: modelGiveUp,
	}
}

func (w *modelWorld) beat(wk *modelWorker, names []store.Claim) *modelCommand {
	tokens := make([]string, len(names))
	for i, c := range names {
		tokens[i] = c.Token
	}
	return &modelCommand{kind: "beat", says: fmt.Sprintf("%s beats, running [%s]", wk.id, strings.Join(tokens, " ")),
		send: func() (modelReply, error) {
			beaten, err := w.store.Heartbeat(w.ctx, modelQueue, store.Beat{Worker: wk.id, About: "about", Runs: names})
			slices.SortFunc(beaten.Unknown, modelByToken)
			return modelReply{says: modelBeaten(beaten.Void, beaten.Unknown), void: beaten.Void, unknown: beaten.Unknown}, err
		},
		rule: func() string { return w.oracle.beat(wk.id, names) },
		hear: wk.beaten,
		lose: modelGiveUp,
	}
}

func modelByToken(a, b store.Claim) int { return strings.Compare(a.Token, b.Token) }

func (w *modelWorld) removeWorker(worker, by string) *modelCommand {
	return &modelCommand{kind: "remove_worker", says: fmt.Sprintf("%s drops worker %s", by, worker),
		send: func() (modelReply, error) {
			return modelReply{says: modelNothing}, w.store.RemoveWorker(w.ctx, modelQueue, worker, by)
		},
		rule: func() string { return w.oracle.removeWorker(worker, by) },
		hear: modelIgnore,
		lose: modelGiveUp,
	}
}

func (w *modelWorld) sweep(wk *modelWorker) *modelCommand {
	return &modelCommand{kind: "sweep", says: wk.id + " sweeps",
		send: func() (modelReply, error) {
			s, err := w.store.Sweep(w.ctx, modelQueue, 100, false, "bell:", "w")
			if !s.Mine {
				return modelReply{says: modelNothing}, err
			}
			slices.SortFunc(s.Orphans, func(a, b store.Orphan) int { return modelByToken(a.Claim, b.Claim) })
			slices.Sort(s.Idle)
			slices.SortFunc(s.Silent, func(a, b store.Waiting) int { return cmp.Compare(a.Ref, b.Ref) })
			var found []string
			for _, o := range s.Orphans {
				found = append(found, "orphan "+o.Worker+" "+o.Token)
			}
			for _, idle := range s.Idle {
				found = append(found, "idle "+idle)
			}
			for _, task := range s.Silent {
				found = append(found, "silent "+modelName(task.Ref))
			}
			return modelReply{says: modelSwept(found), swept: s}, err
		},
		rule: w.oracle.sweep,
		hear: wk.swept,
		lose: modelGiveUp,
	}
}
