package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// TestTurnsWhateverHappens walks at random through what may happen to the calls of a gate, by the scripts themselves, and checks
// after each step the laws that the search checks in its states. In the end, without faults, all calls end.
func TestTurnsWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		server, err := memredis.New()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		rdb := server.Client()
		defer rdb.Close()
		w := &turnsWalk{T: t, Store: store.New(rdb), q: &queue{rdb: rdb, name: "q"}, rung: map[refcache.Ref]bool{}, runs: map[refcache.Ref]string{}}
		w.Rings(func(_ context.Context, tasks []store.Record) {
			for _, task := range tasks {
				w.rung[task.Ref] = !w.deaf
			}
		})
		w.walk()
	})
}

// turnsWalk is one walk.
type turnsWalk struct {
	*rapid.T
	*store.Store
	q       *queue
	numbers store.GateNumbers
	rung    map[refcache.Ref]bool   // calls with a doorbell
	runs    map[refcache.Ref]string // those that run, by token
	made    []refcache.Ref
	tokens  int
	deaf    bool // doorbells get lost
	story   []string
}

func (w *turnsWalk) say(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

func (w *turnsWalk) must(err error) {
	if err != nil {
		w.Fatalf("%v\n%s", err, strings.Join(w.story, "\n"))
	}
}

func (w *turnsWalk) require(ok bool, format string, args ...any) {
	if !ok {
		w.Fatalf("%s; %+v\n%s", fmt.Sprintf(format, args...), w.numbers, strings.Join(w.story, "\n"))
	}
}

func (w *turnsWalk) draw(from, to int, what string) int {
	return rapid.IntRange(from, to).Draw(w.T, what)
}

const walkKeys = "ab"

var walkContext = context.Background()

func (w *turnsWalk) walk() {
	w.numbers = store.GateNumbers{Each: w.draw(0, 2, "each"), All: w.draw(-1, 2, "all")}
	if rapid.Bool().Draw(w.T, "rate") {
		w.numbers.Interval, w.numbers.Burst = 500*time.Millisecond, w.draw(1, 2, "burst")
	}
	steps := []struct {
		name string
		do   func()
	}{
		{"submit", w.submit}, {"submit", w.submit}, {"claim", w.claim}, {"claim", w.claim}, {"finish", w.finish}, {"finish", w.finish},
		{"cancel", w.cancel}, {"sweep", w.sweep}, {"beat", w.beat}, {"lose a doorbell", w.loseDoorbell}, {"time", w.time},
		{"forget the functions", w.forget}, {"retry", w.retry}, {"lose a worker", w.loseWorker},
	}
	w.beat()
	for range w.draw(1, 40, "steps") {
		step := steps[w.draw(0, len(steps)-1, "step")]
		w.deaf = w.draw(0, 4, "deaf") == 0
		step.do()
		w.laws()
	}
	w.settle()
}

// any draws one of the calls that are so.
func (w *turnsWalk) any(is func(refcache.Ref) bool) (refcache.Ref, bool) {
	all := slices.DeleteFunc(slices.Clone(w.made), func(ref refcache.Ref) bool { return !is(ref) })
	if len(all) == 0 {
		return "", false
	}
	return all[w.draw(0, len(all)-1, "call")], true
}

func (w *turnsWalk) submit() {
	ref := refcache.Ref(fmt.Sprintf("q:%032x", len(w.made)))
	again := len(w.made) > 0 && w.draw(0, 3, "again") == 0
	if again {
		ref = w.made[w.draw(0, len(w.made)-1, "call")]
	}
	s := store.Submission{Request: fmt.Sprint("r", w.tokens), Policy: walkPolicy(), Namespace: "default", Args: []byte("{}"), RetryFailed: true}
	w.tokens++
	if plain := w.draw(0, 5, "plain") == 0; !plain {
		key := walkKeys[w.draw(0, len(walkKeys)-1, "key")]
		s.Turn = store.NewTurn("g", string(key), fmt.Sprint(w.draw(0, 1, "share")), 0)
	}
	made, err := w.Submit(walkContext, ref, s)
	w.must(err)
	w.say("%s is submitted in turn %+v: %s", ref, s.Turn, made.Status)
	if !again {
		w.made = append(w.made, ref)
	}
	if made.Status == refcache.Pending && !w.deaf {
		w.rung[ref] = true
	}
}

func walkPolicy() refcache.Policy {
	p, err := refcache.Func[int, int]{Name: "f", Retry: refcache.RetryPolicy{MaxRetries: 1, Delay: -1}}.Policy()
	if err != nil {
		panic(err)
	}
	p.Queue = "q"
	return p
}

func (w *turnsWalk) claim() {
	ref, ok := w.any(func(ref refcache.Ref) bool { return w.rung[ref] })
	if !ok {
		return
	}
	w.claimOf(ref)
}

func (w *turnsWalk) claimOf(ref refcache.Ref) {
	delete(w.rung, ref)
	w.tokens++
	token := fmt.Sprint("t", w.tokens)
	claim, err := w.Claim(walkContext, ref, token, "w1")
	w.must(err)
	w.say("%s is claimed by %s: %v", ref, token, claim.Run)
	if claim.Later > 0 {
		w.rung[ref] = true
	}
	if claim.Run {
		if turn := claim.Record.Turn; turn.Gate != "" {
			closed, _ := w.q.rdb.HGet(walkContext, "refq:{q}:gate:g:k:"+turn.Key, "closed_until").Int64()
			w.require(closed <= w.q.rdb.Time(walkContext).Val().UnixMilli(), "%s runs although its key is closed", ref)
		}
		w.runs[ref] = token
		if claim.Record.Turn.Gate == "" {
			w.enter(ref, token)
		}
	}
}

func (w *turnsWalk) enter(ref refcache.Ref, token string) {
	entered, err := w.Enter(walkContext, ref, token, store.NewTurn("g", "a", "", 0))
	w.must(err)
	w.say("%s enters: %d", ref, entered)
	if entered != store.EnteredRuns {
		delete(w.runs, ref)
	}
}

func (w *turnsWalk) finish() {
	ref, ok := w.any(func(ref refcache.Ref) bool { return w.runs[ref] != "" })
	if !ok {
		return
	}
	outcomes := map[string]store.Outcome{"completes": w.Completed([]byte("1")), "fails": store.Errored(store.Failure{Error: "x", Cause: "error"}),
		"is handed back": store.Released("", "w1"), "is unavailable": store.UnavailableFor("busy", time.Second, "w1")}
	how := rapid.SampledFrom([]string{"completes", "fails", "is handed back", "is unavailable"}).Draw(w.T, "how")
	w.end(ref, how, outcomes[how])
}

func (w *turnsWalk) end(ref refcache.Ref, how string, o store.Outcome) {
	f, err := w.Finish(walkContext, ref, w.runs[ref], o)
	w.must(err)
	w.say("%s %s: %s", ref, how, f.Status)
	delete(w.runs, ref)
	if (f.Status == refcache.Retrying || f.Status == refcache.Pending) && !w.deaf {
		w.rung[ref] = true
	}
}

func (w *turnsWalk) cancel() {
	ref, ok := w.any(func(ref refcache.Ref) bool { return w.read(ref).Status.InFlight() })
	if !ok {
		return
	}
	_, _, err := w.Cancel(walkContext, w.read(ref), "ann")
	w.must(err)
	w.say("%s is cancelled", ref)
	delete(w.runs, ref)
}

func (w *turnsWalk) retry() {
	ref, ok := w.any(func(ref refcache.Ref) bool { return w.read(ref).Status == refcache.Failed })
	if !ok {
		return
	}
	w.tokens++
	_, task, err := w.Retry(walkContext, w.read(ref), fmt.Sprint("r", w.tokens), "ann", true)
	w.must(err)
	w.say("%s is retried: %s", ref, task.Status)
	if task.Status == refcache.Pending && !w.deaf {
		w.rung[ref] = true
	}
}

func (w *turnsWalk) read(ref refcache.Ref) store.Record {
	r, err := w.Read(walkContext, ref)
	w.must(err)
	return r
}

func (w *turnsWalk) beat() {
	_, err := w.Heartbeat(walkContext, "q", store.Beat{Worker: "w1", About: `{"functions":["f@1"],"since":5,"slots":1}`,
		Gates: map[string]store.GateNumbers{"g": w.numbers}})
	w.must(err)
	w.say("w1 beats")
}

// forget has Redis forget who knows the function, until the next beat of a worker that is new.
func (w *turnsWalk) forget() {
	w.must(w.q.rdb.Del(walkContext, "refq:{q}:knows:f@1", "refq:{q}:worker:w1").Err())
	w.say("nobody knows f any more")
}

func (w *turnsWalk) loseDoorbell() {
	if ref, ok := w.any(func(ref refcache.Ref) bool { return w.rung[ref] }); ok {
		delete(w.rung, ref)
		w.say("the doorbell of %s is lost", ref)
	}
}

func (w *turnsWalk) loseWorker() {
	if ref, ok := w.any(func(ref refcache.Ref) bool { return w.runs[ref] != "" }); ok {
		taken, task, err := w.Redeliver(walkContext, store.Claim{Ref: ref, Token: w.runs[ref]}, "w1", "w1")
		w.must(err)
		w.say("%s is lost: %v", ref, taken)
		delete(w.runs, ref)
		if taken && task.Status == refcache.Pending && !w.deaf {
			w.rung[ref] = true
		}
	}
}

// time has the gate's keys look as if a second had passed.
func (w *turnsWalk) time() {
	for _, key := range walkKeys {
		k := "refq:{q}:gate:g:k:" + string(key)
		for field, unit := range map[string]int64{"tat": 1_000_000, "ran": 1_000_000, "closed_until": 1000} {
			if n, err := w.q.rdb.HGet(walkContext, k, field).Int64(); err == nil {
				w.must(w.q.rdb.HSet(walkContext, k, field, n-unit).Err())
			}
		}
		if at, err := w.q.rdb.ZScore(walkContext, "refq:{q}:due", "turn:g/"+string(key)).Result(); err == nil {
			w.must(w.q.rdb.ZAdd(walkContext, "refq:{q}:due", redis.Z{Score: at - 1000, Member: "turn:g/" + string(key)}).Err())
		}
	}
	for _, permit := range w.q.rdb.ZRange(walkContext, "refq:{q}:gate:g:held", 0, -1).Val() {
		w.must(w.q.rdb.ZIncrBy(walkContext, "refq:{q}:gate:g:held", -1000, permit).Err())
	}
	w.say("a second passes")
}

func (w *turnsWalk) sweep() {
	_, err := w.SweepGates(walkContext, "q")
	w.must(err)
	w.say("a sweep")
}

// laws are those of docs/protocol.md.
func (w *turnsWalk) laws() {
	ctx, rdb := walkContext, w.q.rdb
	held := rdb.ZRange(ctx, "refq:{q}:gate:g:held", 0, -1).Val()
	of := map[string]int{}
	for _, permit := range held {
		of[permit[32:]]++
		status := w.read(refcache.Ref("q:" + permit[:32])).Status
		w.require(status == refcache.Pending || status == refcache.Processing, "%s has a permit and is %s", permit, status)
		w.require(rdb.SIsMember(ctx, "refq:{q}:gate:g:held:"+permit[32:], permit[:32]).Val(), "%s is not among those of its key", permit)
	}
	for key, n := range of {
		w.require(w.numbers.Each == 0 || n <= w.numbers.Each, "%d calls of key %s have permits", n, key)
	}
	limit := w.numbers.All
	if limit < 0 || limit == 0 && w.numbers.Interval > 0 {
		limit = 4 // slots
	}
	w.require(limit == 0 || len(held) <= limit, "%d calls have permits", len(held))
	for ref := range w.runs {
		w.require(slices.ContainsFunc(held, func(permit string) bool { return permit[:32] == ref.Hash() }), "%s runs without a permit", ref)
	}
	ready := rdb.ZCard(ctx, "refq:{q}:gate:g:ready").Val()
	w.require(ready == 0 || limit > 0 && len(held) >= limit, "%d keys could start and do not", ready)
	waiting := 0
	for _, key := range walkKeys {
		n := 0
		for share := range 2 {
			n += int(rdb.ZCard(ctx, fmt.Sprintf("refq:{q}:gate:g:w:%c/%d", key, share)).Val())
		}
		n += int(rdb.ZCard(ctx, fmt.Sprintf("refq:{q}:gate:g:w:%c/", key)).Val())
		w.require(n == int(rdb.ZScore(ctx, "refq:{q}:gate:g:waits", string(key)).Val()), "%d calls wait for key %c", n, key)
		waiting += n
		ready, _ := rdb.ZScore(ctx, "refq:{q}:gate:g:ready", string(key)).Result()
		due, _ := rdb.ZScore(ctx, "refq:{q}:due", fmt.Sprintf("turn:g/%c", key)).Result()
		closed := rdb.HExists(ctx, "refq:{q}:gate:g:k:"+string(key), "closed_until").Val()
		w.require(n == 0 || ready > 0 || due > 0 || closed && of[string(key)] > 0 || w.numbers.Each > 0 && of[string(key)] >= w.numbers.Each,
			"key %c waits, and nobody sees it", key)
		w.require(n > 0 || ready == 0 && due == 0, "key %c is listed, and nobody waits", key)
	}
	w.require(waiting == int(rdb.ZCard(ctx, "refq:{q}:waiting").Val()), "%d calls are in line", waiting)
}

// settle has everything come to rest.
func (w *turnsWalk) settle() {
	w.say("no more faults")
	w.deaf = false
	for range 6*len(w.made) + 6 {
		w.beat()
		w.time()
		w.sweep()
		w.laws()
		for _, ref := range w.made {
			if s := w.read(ref).Status; s == refcache.Pending || s == refcache.Retrying {
				w.rung[ref] = true // as a sweep does
			}
			if w.rung[ref] {
				w.claimOf(ref)
			}
			if w.runs[ref] != "" {
				w.end(ref, "completes", w.Completed([]byte("1")))
			}
			w.laws()
		}
	}
	for _, ref := range w.made {
		w.require(w.read(ref).Status.IsFinal(), "%s is %s in the end", ref, w.read(ref).Status)
	}
	left := w.q.rdb.Keys(walkContext, "refq:{q}:gate:g:*").Val()
	left = slices.DeleteFunc(left, func(key string) bool { return strings.HasPrefix(key, "refq:{q}:gate:g:k:") }) // they expire
	w.require(len(left) == 0, "%v is left", left)
}
