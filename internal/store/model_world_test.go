package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

const (
	modelQueue  = "q"
	modelPrefix = "refq:{q}:"
	modelInbox  = "refq:inbox:"

	modelInboxChannel  = modelPrefix + "in:"
	modelWorkerChannel = modelPrefix + "cancel:"
)

// modelRef makes the ref of the task that is called a, b, c in sentences.
func modelRef(name string) refcache.Ref {
	return refcache.Ref(fmt.Sprintf("%s:%032x", modelQueue, name))
}

func modelName(ref refcache.Ref) string {
	hash := ref.Hash()
	return string(rune(int(hash[30]-'0')<<4 | int(hash[31]-'0')))
}

// modelWorld is a run of the model: a Redis, everybody who sends it commands, and the network in between.
type modelWorld struct {
	t      *rapid.T
	ctx    context.Context
	server *memredis.Server
	rdb    redis.UniversalClient
	store  *store.Store
	oracle *modelOracle
	laws   modelLaws

	refs      []refcache.Ref
	workers   []*modelWorker // one process per seat; a dead one may be replaced
	people    []*modelPerson
	bells     []*modelBell
	everybody []string // ids of all workers ever
	tokens    int
	requests  int

	sent  []*modelCommand // what reached Redis: any may arrive once more
	late  []*modelLate    // commands and answers that are under way
	calm  bool            // no faults
	slow  bool            // but what sweepers do is late
	keyed bool            // calls have keys, and so may have other arguments
	back  time.Duration   // how far Redis's clock was set back in all
	heard []string        // messages, gathered by listen
	end   func()

	seen    modelSight
	touched map[refcache.Ref]bool
	start   time.Time
	story   []string
}

// modelCommand is what somebody sends to Redis.
type modelCommand struct {
	says string       // who asks for what
	ref  refcache.Ref // empty: about the queue
	// What laws go by.
	kind  string
	token string // of a worker
	req   string // of a producer or a person

	maxAge time.Duration // of a producer's call
	stamps []string      // of a producer's call, or an invalidation

	send func() (modelReply, error)
	rule func() string    // what the oracle answers
	hear func(modelReply) // what the sender does with the answer
	lose func()           // what the sender does when it gives up on the answer
}

// modelReply is an answer.
type modelReply struct {
	says          string // what the oracle's is compared with
	task          store.Record
	claim         store.ClaimAnswer
	finished      store.Finished
	answered      bool // with a result
	invalid       bool // which does not count
	yes           bool
	void, unknown []store.Claim
	swept         store.Swept
}

// modelLate is a command, its answer, or something else to do that is late.
type modelLate struct {
	says  string
	c     *modelCommand
	reply *modelReply // nil: the command has not arrived
	gone  bool        // the sender waits no more
	act   func()      // instead of a command
}

func newModelWorld(t *rapid.T, server *memredis.Server, rdb redis.UniversalClient) *modelWorld {
	w := &modelWorld{t: t, server: server, ctx: context.Background(), rdb: rdb, store: store.New(rdb), start: time.Now(),
		oracle: &modelOracle{tasks: map[refcache.Ref]*modelTask{}, beats: map[string]int64{}, stale: map[modelEntry]int64{}, stamps: map[string]int64{}}, touched: map[refcache.Ref]bool{}}
	w.laws = modelLaws{world: w, lives: map[string]*modelLife{}, invalidated: map[string]int64{}}
	for _, name := range []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "tasks")] {
		w.refs = append(w.refs, modelRef(name))
	}
	w.keyed = rapid.Bool().Draw(t, "keyed")
	for seat := range rapid.IntRange(2, 3).Draw(t, "workers") {
		w.workers = append(w.workers, w.newWorker(seat))
	}
	for _, name := range []string{"ann", "bob"} {
		w.people = append(w.people, &modelPerson{name, map[refcache.Ref]store.Record{}})
	}
	w.listen()
	w.compare()
	return w
}

// listen gathers the messages to waiters and workers.
func (w *modelWorld) listen() {
	sub := w.rdb.PSubscribe(w.ctx, modelInboxChannel+"*", modelWorkerChannel+"*")
	_, err := sub.Receive(w.ctx)
	w.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			m, err := sub.ReceiveMessage(w.ctx)
			if err != nil {
				return
			}
			about, _, _ := strings.Cut(m.Payload, " ")
			w.heard = append(w.heard, m.Channel+" "+about)
		}
	}()
	w.end = func() {
		_ = sub.Close()
		<-done
	}
}

// say adds a sentence to the story.
func (w *modelWorld) say(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf("%9.3fs  %s", time.Since(w.start).Seconds(), fmt.Sprintf(format, args...)))
}

func (w *modelWorld) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nThe story:\n%s", fmt.Sprintf(format, args...), strings.Join(w.story, "\n"))
}

func (w *modelWorld) must(err error) {
	if err != nil {
		w.t.Helper()
		w.fail("%v", err)
	}
}

// draw draws one of several; there are no faults to choose when the world is calm.
func (w *modelWorld) draw(what string, options ...string) string {
	if w.calm {
		return options[0]
	}
	return rapid.SampledFrom(options).Draw(w.t, what)
}

func modelPick[T any](w *modelWorld, what string, from []T) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(w.t, what)]
}

// post sends a command through the network: it may come late or never, and so may its answer.
func (w *modelWorld) post(c *modelCommand) {
	fate := w.draw("network", "answered", "answered", "answered", "answer is late", "command is late", "answer is lost")
	if w.slow && (c.kind == "redeliver" || c.kind == "remove_worker") {
		fate = "command is late"
	}
	switch fate {
	case "answered":
		c.hear(w.execute(c, ""))
	case "answer is late":
		reply := w.execute(c, "; the answer is late")
		w.late = append(w.late, &modelLate{says: c.says, c: c, reply: &reply})
	case "command is late":
		w.say("%s: is late", c.says)
		w.late = append(w.late, &modelLate{says: c.says, c: c})
	case "answer is lost":
		w.execute(c, "; the answer is lost")
		c.lose()
	}
}

// later leaves something to do to the network action.
func (w *modelWorld) later(says string, act func()) {
	w.say("%s: later", says)
	w.late = append(w.late, &modelLate{says: says, act: act})
}

// arrive lets something late happen.
func (w *modelWorld) arrive(l *modelLate) {
	w.late = slices.DeleteFunc(w.late, func(other *modelLate) bool { return other == l })
	switch {
	case l.act != nil:
		w.say("%s: now", l.says)
		l.act()
		return
	case l.reply == nil:
		reply := w.execute(l.c, "; this was late")
		l.reply = &reply
	default:
		w.say("%s: the answer arrives", l.says)
	}
	if !l.gone {
		l.c.hear(*l.reply)
	}
}

// giveUp ends the sender's wait; what it sent may still arrive.
func (w *modelWorld) giveUp(l *modelLate) {
	l.gone = true
	if l.act != nil || l.reply != nil {
		w.late = slices.DeleteFunc(w.late, func(other *modelLate) bool { return other == l })
	}
	if l.act != nil {
		w.say("%s: never", l.says)
		return
	}
	w.say("%s: the sender waits no longer", l.says)
	l.c.lose()
}

// execute lets a command reach Redis, and checks the answer and all that changed.
func (w *modelWorld) execute(c *modelCommand, remark string) modelReply {
	w.t.Helper()
	reply, err := c.send()
	if errors.Is(err, refcache.ErrTaskNotFound) {
		reply, err = modelReply{says: modelNoRecord}, nil
	}
	w.must(err)
	want := c.rule()
	w.say("%s: %s%s", c.says, reply.says, remark)
	if reply.says != want {
		w.fail("Redis answers %q, the design %q", reply.says, want)
	}
	if routine := c.kind == "read" || c.kind == "sweep" || w.calm; !routine && !slices.Contains(w.sent, c) {
		w.sent = append(w.sent, c)
	}
	if c.ref != "" {
		w.touched[c.ref] = true
	}
	before, now := w.compare()
	w.laws.check(c, reply, before, now)
	return reply
}

// pass lets time pass.
func (w *modelWorld) pass(d time.Duration) {
	time.Sleep(d)
	before, now := w.compare()
	w.laws.check(&modelCommand{kind: "time"}, modelReply{}, before, now)
}

// alive returns the workers that live.
func (w *modelWorld) alive() []*modelWorker {
	return slices.DeleteFunc(slices.Clone(w.workers), func(wk *modelWorker) bool { return wk.dead })
}
