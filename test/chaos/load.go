//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/refq/refq"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// load is the calls that a producer process makes.
type load struct {
	Seed      uint64
	First     int // number of its first job; the following ones count up
	Calls     int // how many; 0: until it is stopped
	Callers   int // how many wait at a time, at most
	PerSecond int // how many it starts; 0: as many as the callers can

	Least, Most int     // ms that an attempt takes
	Failing     float64 // share of the jobs whose first attempt fails
	Broken      float64 // share of the jobs that fail for good
	Same        bool    // all callers make the same call, then the next one; a call counts once for each of them
	NoWait      bool    // submit only

	Beside bool // the same for each function beside, with numbers of its own

	Keys, Shares []string // of the jobs' turns, one after the other
}

// waitLimit is how long a producer that was stopped waits for the calls that it has made.
const waitLimit = 4 * time.Minute

// produce makes the calls and writes down how each was answered. What Redis refuses is tried again: a caller in earnest
// would do so, and the call is the same.
func produce(ctx context.Context, b brief, j *journal) error {
	rdb, err := refq.Connect(b.Redis)
	if err != nil {
		return err
	}
	defer rdb.Close()
	p := producer.New(rdb, producer.Config{})
	defer p.Close()
	waits, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(waitLimit, end) })()

	called := []policy{b.Policy}
	if b.Load.Beside {
		called = append(called, b.Beside...)
	}
	var all sync.WaitGroup
	for i, policy := range called {
		l := b.Load
		l.First += i * besideNumbers
		all.Go(func() { caller{p, policy.function(), j}.make(ctx, waits, l) })
	}
	all.Wait()
	return nil
}

// besideNumbers is how many numbers the jobs of each function have.
const besideNumbers = 100_000

// make makes the calls of a load until ctx ends, and waits for them as long as waits goes on.
func (c caller) make(ctx, waits context.Context, l load) {
	jobs := make(chan job)
	var callers sync.WaitGroup
	for range l.Callers {
		callers.Go(func() {
			for todo := range jobs {
				if l.NoWait {
					c.submit(waits, todo)
				} else {
					c.call(waits, todo)
				}
			}
		})
	}
	l.deal(ctx, jobs)
	close(jobs)
	callers.Wait()
}

// deal hands out jobs until there are no more, or ctx ends.
func (l load) deal(ctx context.Context, jobs chan<- job) {
	pace, end := l.pace()
	defer end()
	copies := 1
	if l.Same {
		copies = l.Callers
	}
	for i := 0; l.Calls == 0 || i < l.Calls; i++ {
		todo := l.job(l.First + i)
		for range copies {
			select {
			case <-pace:
			case <-ctx.Done():
				return
			}
			select {
			case jobs <- todo:
			case <-ctx.Done():
				return
			}
		}
	}
}

// pace returns a channel that gives the time for each call, and a function to end it.
func (l load) pace() (<-chan time.Time, func()) {
	if l.PerSecond > 0 {
		tick := time.NewTicker(time.Second / time.Duration(l.PerSecond))
		return tick.C, tick.Stop
	}
	always := make(chan time.Time)
	close(always)
	return always, func() {}
}

// job makes a job of a number: the same one in every process.
func (l load) job(n int) job {
	random := rand.New(rand.NewPCG(l.Seed, uint64(n)))
	j := job{N: n, Millis: l.Least + random.IntN(l.Most-l.Least+1)}
	j.Key, j.Share = inTurn(l.Keys, n), inTurn(l.Shares, n)
	switch what := random.Float64(); {
	case what < l.Broken:
		j.Broken = true
	case what < l.Broken+l.Failing:
		j.Fails = 1
	}
	return j
}

// inTurn is the n-th of texts that take turns, or none.
func inTurn(texts []string, n int) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[n%len(texts)]
}

// caller makes calls and writes down what they come to.
type caller struct {
	producer *producer.Producer
	function refcache.Func[job, answer]
	journal  *journal
}

const callAgain = 200 * time.Millisecond

func (c caller) call(ctx context.Context, j job) {
	c.journal.write(line{Kind: asked, N: j.N})
	for ctx.Err() == nil {
		res, err := producer.Call(ctx, c.producer, c.function, j)
		if c.conclude(j, res, err) {
			return
		}
		time.Sleep(callAgain)
	}
}

// conclude writes down how a call was answered; false when that was no final answer.
func (c caller) conclude(j job, res refcache.Response[answer], err error) bool {
	l := line{Kind: answered, Ref: res.RefID, N: j.N, Status: res.Status, Run: res.Value.Run}
	var ended *refcache.TaskError
	switch {
	case err == nil && res.IsComplete && res.Value.Sum != sum(j.N):
		l.Text = fmt.Sprintf("wrong answer: %q", res.Value.Sum)
	case errors.As(err, &ended):
		l.Text = ended.Info.LastError
	case errors.Is(err, refcache.ErrTaskNotFound):
		l.Kind, l.Text = vanished, err.Error()
	case err != nil || !res.IsComplete:
		l.Kind, l.Text = refused, fmt.Sprint(err)
	}
	c.journal.write(l)
	return l.Kind == answered
}

func (c caller) submit(ctx context.Context, j job) {
	c.journal.write(line{Kind: asked, N: j.N})
	for ctx.Err() == nil {
		ref, err := producer.Submit(ctx, c.producer, c.function, j)
		if err == nil || errors.Is(err, refcache.ErrNotQueued) {
			c.journal.write(line{Kind: accepted, Ref: ref, N: j.N})
			return
		}
		c.journal.write(line{Kind: refused, N: j.N, Text: err.Error()})
		time.Sleep(callAgain)
	}
}
