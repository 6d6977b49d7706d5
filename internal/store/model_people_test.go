package store_test

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// modelPerson calls functions and commands tasks. What a person knows of a task may be old.
type modelPerson struct {
	name string
	seen map[refcache.Ref]store.Record
}

type modelPolicy struct {
	retries int
	ttl     time.Duration
}

// modelPolicies are what callers ask for. The odd milliseconds keep limits from being met exactly.
var modelPolicies = []modelPolicy{{1, 40_007 * time.Millisecond}, {0, 90_007 * time.Millisecond}, {2, 40_007 * time.Millisecond}, {3, 24 * time.Hour}}

func (w *modelWorld) request() string {
	w.requests++
	return fmt.Sprintf("r%d", w.requests)
}

func (w *modelWorld) call(p modelPolicy) store.Submission {
	policy := refcache.Defaults
	policy.Name, policy.Queue, policy.MaxRetries, policy.TTL, policy.FailureTTL = "f", modelQueue, p.retries, p.ttl, p.ttl/2
	s := store.Submission{Request: w.request(), Namespace: refcache.DefaultNamespace, Policy: policy, Args: []byte(`{}`)}
	if w.keyed {
		s.KeyConflict = modelPick(w, "key conflict", []refcache.KeyConflict{refcache.KeyJoin, refcache.KeyRefuse})
		s.Args = []byte(modelPick(w, "arguments", []string{`{}`, `{"n":1}`}))
	}
	return s
}

// submitAction is a producer's call.
func (w *modelWorld) submitAction() {
	p, ref := modelPick(w, "person", w.people), modelPick(w, "task", w.refs)
	s := w.call(modelPick(w, "policy", modelPolicies))
	if rapid.Bool().Draw(w.t, "waits") {
		s.Inbox = modelInbox + p.name
	}
	switch w.draw("again", "", "", "what failed", "what is complete", "both") {
	case "what failed":
		s.RetryFailed = true
	case "what is complete":
		s.Refresh = true
	case "both":
		s.RetryFailed, s.Refresh = true, true
	}
	ages := []time.Duration{0, 0, 5 * time.Millisecond, 1500 * time.Millisecond, 10 * time.Second}
	s.MaxAge, s.Fresh = modelPick(w, "max age", ages), modelPick(w, "fresh", ages)
	if rapid.Bool().Draw(w.t, "has tags") {
		s.Stamps = store.Stamps(s.Namespace, s.Policy.Name, modelTags[modelName(ref)])
	}
	w.post(w.submit(p, ref, s))
}

// modelTags are those of the tasks' calls.
var modelTags = map[string][]string{"a": {"x"}, "b": {"x", "y"}, "c": nil}

// invalidateAction is a person who knows that something has changed.
func (w *modelWorld) invalidateAction() {
	all := store.Stamps(refcache.DefaultNamespace, "f", []string{"x", "y", "nobody's"})
	names := []string{modelPick(w, "stamp", all)}
	if rapid.Bool().Draw(w.t, "one more") {
		names = append(names, modelPick(w, "stamp", all))
	}
	w.post(w.invalidate(modelPick(w, "person", w.people), names))
}

// see is what a person knows of a task: what it has just read, or what it saw before.
func (w *modelWorld) see(p *modelPerson, ref refcache.Ref) (store.Record, bool) {
	if old, ok := p.seen[ref]; ok && rapid.Bool().Draw(w.t, "acts on old news") {
		return old, true
	}
	reply := w.execute(w.read(p.name, ref, ""), "")
	if reply.says == modelNoRecord {
		delete(p.seen, ref)
		return store.Record{}, false
	}
	p.seen[ref] = reply.task
	return reply.task, true
}

func modelHasFailed(s refcache.Status) bool { return s == refcache.Failed }

// command is what a person does with a task that it has seen, mostly with one that it makes sense for.
func (w *modelWorld) command(of func(p *modelPerson, seen store.Record) *modelCommand, suits func(refcache.Status) bool) func(*rapid.T) {
	return func(*rapid.T) {
		suitable := slices.DeleteFunc(slices.Clone(w.refs), func(ref refcache.Ref) bool {
			t := w.seen.Tasks[modelName(ref)]
			return t == nil || !suits(t.Status)
		})
		if len(suitable) == 0 && (len(w.seen.Tasks) == 0 || len(w.sent)%4 > 0) {
			w.t.Skip("no task to do that with")
		}
		p, ref := modelPick(w, "person", w.people), modelPick(w, "task", w.refs)
		if len(suitable) > 0 && !slices.Contains(suitable, ref) {
			ref = suitable[0]
		}
		if seen, ok := w.see(p, ref); ok {
			w.post(of(p, seen))
		}
	}
}

// waitAction is a producer that reads, and wants to be told of the end.
func (w *modelWorld) waitAction() {
	p, ref := modelPick(w, "person", w.people), modelPick(w, "task", w.refs)
	w.post(w.read(p.name, ref, modelInbox+p.name))
}

// copyAction lets something that was sent before reach Redis once more. Its sender may be there to hear the answer
// when it asked for that: a client sends a command again when the answer did not come.
func (w *modelWorld) copyAction() {
	if len(w.sent) == 0 {
		w.t.Skip("nothing was sent")
	}
	latest := slices.Clone(w.sent)
	slices.Reverse(latest)
	c := modelPick(w, "command", latest)
	if c.req != "" && rapid.Bool().Draw(w.t, "resend") {
		c.hear(w.execute(c, "; sent again"))
		return
	}
	w.execute(c, "; a late copy")
}
