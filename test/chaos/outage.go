//go:build unix

package main

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/refq/refq/refcache"
)

var outages = scenario{
	name: "outage", harm: "Redis killed for 60 s and restarted, 5 times, under load",
	must:   "0 accepted calls lost, 0 results lost, nobody alive declared dead, all flowing within 10 s",
	within: [2]time.Duration{4 * time.Minute, 14 * time.Minute},
	run:    outage,
}

func outage(ctx context.Context, s *stage) (r report, err error) {
	calls, err := s.underLoad(ctx, 1500)
	if err != nil {
		return r, err
	}
	var back []time.Duration
	away := either(s, 8*time.Second, 60*time.Second)
	for range either(s, 1, 5) {
		s.pause(ctx, 3*time.Second, 5*time.Second)
		if err := s.redis.Kill(); err != nil {
			return r, err
		}
		time.Sleep(away)
		if err := s.redis.Restart(); err != nil {
			return r, err
		}
		took, err := s.flowing(ctx, time.Now())
		if err != nil {
			return r, err
		}
		back = append(back, took)
	}
	books, a, err := s.settle(ctx, calls...)
	if err != nil {
		return r, err
	}
	r.showAccount(a)
	dead, own := missed(a)
	r.show(dead == 0, "%d outages of %v; %d attempts lost because a worker was thought dead, %d because a claim's answer was lost with Redis",
		len(back), away, dead, own)
	n, said, err := s.refusals()
	if err != nil {
		return r, err
	}
	r.show(true, "%d calls refused meanwhile and made again, with errors such as %q", n, said)
	outlived := outlivedOutage(books, a)
	r.show(a.retries == 0, "%d attempts took results across; %d retries spent", outlived, a.retries)
	r.showTimes("Redis's return until every process works again", back, s.within(10*time.Second), s.within(10*time.Second))
	return r, nil
}

// underLoad starts workers, and producers of calls of 50 to so many ms. The callers are few, so that what they could not do
// meanwhile is done soon, and new calls show whether all is well again.
func (s *stage) underLoad(ctx context.Context, most int) (producers []*process, err error) {
	if _, err := s.startWorkers(ctx, 3); err != nil {
		return nil, err
	}
	for i := range 3 {
		p, err := s.startProducer(load{First: i * 1_000_000, Callers: 25, PerSecond: 6, Least: 50, Most: most})
		if err != nil {
			return nil, err
		}
		producers = append(producers, p)
	}
	return producers, nil
}

// flowing waits until every worker has started an attempt, and every producer has had the answer of a call that it made,
// after a time. It returns how long that took.
func (s *stage) flowing(ctx context.Context, since time.Time) (time.Duration, error) {
	err := s.until(ctx, "all processes work again", func() (bool, error) {
		works := map[int]bool{}
		made := map[int]map[int]bool{} // by process: jobs asked for since
		err := readJournals(s.dir, workerRole, func(l line) {
			if l.Kind == started && l.time().After(since) {
				works[l.PID] = true
			}
		})
		if err != nil {
			return false, err
		}
		err = readJournals(s.dir, producerRole, func(l line) {
			switch {
			case !l.time().After(since):
			case l.Kind == asked && made[l.PID] == nil:
				made[l.PID] = map[int]bool{l.N: true}
			case l.Kind == asked:
				made[l.PID][l.N] = true
			case l.Kind == answered && made[l.PID][l.N]:
				works[l.PID] = true
			}
		})
		for _, p := range append(s.living(workerRole), s.living(producerRole)...) {
			if !works[p.pid()] {
				return false, err
			}
		}
		return true, err
	})
	return time.Since(since), err
}

// showThrough accounts for all calls of a scenario in which Redis took no writes for some time. It tells what became of
// attempts, behind what is said first, and of the calls that were refused, of which there must be so many.
func (s *stage) showThrough(ctx context.Context, r *report, first string, least int, calls []*process) error {
	books, a, err := s.settle(ctx, calls...)
	if err != nil {
		return err
	}
	r.showAccount(a)
	dead, own := missed(a)
	r.show(dead == 0 && a.retries == 0, "%s%d attempts lost because a worker was thought dead, %d because a claim's answer was; "+
		"%d attempts took results across; %d retries spent", first, dead, own, outlivedOutage(books, a), a.retries)
	n, said, err := s.refusals()
	if err != nil {
		return err
	}
	r.show(n >= least, "%d calls refused meanwhile and made again%s", n, examples(said))
	return nil
}

// missed counts the attempts that were lost, by why: their worker was thought dead, or it never saw its claim's answer.
func missed(a account) (dead, own int) {
	for _, info := range a.infos {
		for _, attempt := range info.RetryHistory {
			switch {
			case attempt.Cause != refcache.CauseLost:
			case strings.Contains(attempt.Error, "was lost while it ran"):
				dead++
			default:
				own++
			}
		}
	}
	return dead, own
}

// outlivedOutage counts the attempts that had their result more than a second before Redis took it.
func outlivedOutage(books map[refcache.Ref]*book, a account) (n int) {
	for ref, info := range a.infos {
		for _, l := range books[ref].works {
			if l.Kind == returned && info.CompletedAt != nil && info.CompletedAt.Sub(l.time()) > time.Second {
				n++
			}
		}
	}
	return n
}

// refs are what differs between like errors: ref_ids and ports.
var refs = regexp.MustCompile(queue + `[-0-9]*:[0-9a-f]{32}|127\.0\.0\.1:[0-9]+(->127\.0\.0\.1:[0-9]+)?`)

// refusals tells what producers heard while Redis was away, and how often.
func (s *stage) refusals() (n int, examples []string, err error) {
	seen := map[string]bool{}
	err = readJournals(s.dir, producerRole, func(l line) {
		if l.Kind != refused {
			return
		}
		n++
		if text := refs.ReplaceAllString(l.Text, "REF"); !seen[text] && len(examples) < 3 {
			seen[text] = true
			examples = append(examples, text)
		}
	})
	return n, examples, err
}
