//go:build unix

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/refcache"
)

var rates = scenario{
	name: "rates", harm: "calls in line for 60 s at a rate of 5/s, and of 100/s; no harm",
	must:   "starts as Redis counts them never above rate × time + burst, in any window; at most 2 % below",
	within: [2]time.Duration{2 * time.Minute, 5 * time.Minute},
	stage:  newQuickStage,
	run: func(ctx context.Context, s *stage) (report, error) {
		return keepRates(ctx, s, 0)
	},
}

var ratesRestarted = scenario{
	name: "rates-kill", harm: "the same, with 8 workers killed or restarted meanwhile",
	must:   "starts as Redis counts them never above rate × time + burst, in any window",
	within: [2]time.Duration{2 * time.Minute, 5 * time.Minute},
	stage:  newQuickStage,
	run: func(ctx context.Context, s *stage) (report, error) {
		return keepRates(ctx, s, either(s, 4, 8))
	},
}

// What a window may hold beyond rate × time + burst is what the rate brings in these times.
const (
	// lateStart: a start that is so little late counts as on time (docs/protocol.md, Turns).
	lateStart = 25 * time.Millisecond
	// coarse is what times in Redis are rounded down to.
	coarse = time.Millisecond
	// startLag is from when a start is counted until its worker writes it down. A claim that comes later than a second asks the
	// rate again; the rest is for the way from the claim to the function.
	startLag = 1250 * time.Millisecond
)

// keepRates has calls of two rates wait in line, harms workers meanwhile, and counts starts. It counts them twice. Where Redis
// gives a permit the rate counts a start, and the file to which Redis appends tells each. Where the function begins the journal
// tells it. That is what somebody outside sees, but a call may begin up to a second after its start was counted: so there
// starts may bunch by what the rate brings in that time, and by no more.
func keepRates(ctx context.Context, s *stage, restarts int) (r report, err error) {
	s.brief.Concurrency = 20
	slow, fast := rated(5), rated(100)
	s.brief.Policy, s.brief.Beside = slow, []policy{fast}
	workers, err := s.startWorkers(ctx, 3)
	if err != nil {
		return r, err
	}
	if err := s.untilSlotsCount(ctx, 60); err != nil {
		return r, err
	}
	long := either(s, 10*time.Second, time.Minute)
	calls, err := s.lineUp(ctx, int(long.Seconds()), slow, fast)
	if err != nil {
		return r, err
	}
	if err := s.restartSome(ctx, workers, restarts, long*3/4); err != nil {
		return r, err
	}
	if err := s.untilEnded(ctx, refcache.Complete, calls); err != nil {
		return r, err
	}
	books, a, err := s.settle(ctx)
	if err != nil {
		return r, err
	}
	r.showAccount(a)
	r.show(a.retries == 0, "%d workers killed or restarted, %d attempts lost, %d handed back, %d retries spent", restarts, a.lost, a.backs, a.retries)
	for _, p := range []policy{slow, fast} {
		if err := s.showRate(&r, p.Gate, books, restarts > 0); err != nil {
			return r, err
		}
	}
	return r, nil
}

// lineUp has calls wait for so many seconds of each rate before it lets go of them: to make calls costs time, too. It returns how
// many there are.
func (s *stage) lineUp(ctx context.Context, long int, all ...policy) (calls int, err error) {
	b := s.brief
	defer func() { s.brief = b }()
	for i, p := range all {
		gate := admin.Target{Queue: queue, Gate: p.Gate.Name}
		if _, err := s.admin.Pause(ctx, gate, admin.PauseTerms{Reason: "calls line up"}); err != nil {
			return 0, err
		}
		s.brief.Policy = p
		n := long * p.Gate.Rate.N
		made, err := s.startProducer(load{First: i * 1_000_000, Calls: n, Callers: 16, Least: 100, Most: 300, NoWait: true, Keys: []string{p.Gate.Name}})
		if err != nil {
			return 0, err
		}
		if err := made.end(time.Minute); err != nil {
			return 0, err
		}
		calls += n
	}
	for _, p := range all {
		if _, err := s.admin.Resume(ctx, admin.Target{Queue: queue, Gate: p.Gate.Name}); err != nil {
			return 0, err
		}
	}
	return calls, nil
}

// rated is a function that may start so often in a second.
func rated(n int) policy {
	name := fmt.Sprintf("rate%d", n)
	return policy{Function: name, Gate: refcache.Gate{Name: name, Rate: refcache.Rate{N: n, Per: time.Second}}}
}

// untilSlotsCount waits until whoever sweeps has counted the slots of all workers.
func (s *stage) untilSlotsCount(ctx context.Context, slots int) error {
	return s.until(ctx, fmt.Sprintf("%d slots are counted", slots), func() (bool, error) {
		n, err := s.client.HGet(ctx, "refq:{"+queue+"}:sweep", "slots").Int()
		return n >= slots, err
	})
}

// restartSome kills and stops workers in turn, and starts one for each, in so long a time.
func (s *stage) restartSome(ctx context.Context, workers []*process, n int, long time.Duration) (err error) {
	for i := range n {
		s.pause(ctx, long/time.Duration(n), long/time.Duration(n))
		old := &workers[i%len(workers)]
		if i%2 == 0 {
			(*old).kill()
		} else if err := (*old).stop(10 * time.Second); err != nil {
			return err
		}
		if *old, err = s.startWorker(ctx); err != nil {
			return err
		}
	}
	return nil
}

// showRate adds how the starts of a gate's only key kept to its rate.
func (s *stage) showRate(r *report, g refcache.Gate, books map[refcache.Ref]*book, disturbed bool) error {
	counted, err := s.admissions(g.Name)
	if err != nil {
		return err
	}
	calls, begun := startsOf(books, g.Name)
	rate, burst := float64(g.Rate.N), 1.0
	byRedis, byJournal := maxAhead(counted, rate), maxAhead(begun, rate)
	r.show(len(counted) >= calls && byRedis <= burst+rate*(lateStart+coarse).Seconds(),
		"%v: %d starts counted, in a window at most rate × time + %.1f", g.Rate, len(counted), byRedis)
	r.show(byJournal <= burst+rate*(lateStart+startLag).Seconds(), "begun in a window at most rate × time + %.1f", byJournal)
	took := begun[len(begun)-1].Sub(begun[0])
	ideal := (float64(len(begun)) - burst) / rate
	r.show(disturbed || took <= s.within(seconds(ideal/0.98)), "%d begun in %s, at %.2f of the rate", len(begun), round(took), ideal/took.Seconds())
	return nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// startsOf are the times at which executions with a key began, and of how many calls they are.
func startsOf(books map[refcache.Ref]*book, key string) (calls int, times []time.Time) {
	for _, b := range books {
		before := len(times)
		for _, l := range b.works {
			if l.Kind == started && l.Key == key {
				times = append(times, l.time())
			}
		}
		if len(times) > before {
			calls++
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return calls, times
}

// maxAhead is by how much the starts in any window exceed what the rate brings in it.
func maxAhead(times []time.Time, rate float64) (most float64) {
	lead := 0.0 // of the window that ends here and leads most
	for i, at := range times {
		lead++
		if i > 0 {
			lead = max(1, lead-rate*at.Sub(times[i-1]).Seconds())
		}
		most = max(most, lead)
	}
	return most
}

// admissions are the times at which a gate gave permits, as Redis has written them down.
func (s *stage) admissions(gate string) (times []time.Time, err error) {
	held := "refq:{" + queue + "}:gate:" + gate + ":held"
	err = readAppended(s.dir, func(command []string) error {
		if len(command) != 4 || command[0] != "ZADD" || command[1] != held {
			return nil
		}
		ms, err := strconv.ParseInt(command[2], 10, 64)
		times = append(times, time.UnixMilli(ms))
		return err
	})
	return times, err
}
