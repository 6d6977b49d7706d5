//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/refcache"
)

var soaking = scenario{
	name: "soak", harm: "200,000 short calls with a little of everything above",
	must:   "accounting exact; Redis memory back to its baseline after TTLs; no growth of goroutines, connections or files in workers",
	policy: policy{MaxRetries: 3, RetryDelay: 50 * time.Millisecond, TTL: 40 * time.Second},
	within: [2]time.Duration{170 * time.Second, 40 * time.Minute},
	run:    soak,
}

func soak(ctx context.Context, s *stage) (r report, err error) {
	s.brief.ShutdownTimeout = 2 * time.Second
	s.brief.Policy.TTL = either(s, s.brief.Policy.TTL, 15*time.Minute) // longer than load and audit take
	workers, err := s.startWorkers(ctx, 4)
	if err != nil {
		return r, err
	}
	steady := workers[0]
	before, err := s.memory(ctx)
	if err != nil {
		return r, err
	}
	calls := either(s, 4000, 200_000)
	began := time.Now()
	p, err := s.startProducer(load{Calls: calls, Callers: 100, PerSecond: either(s, 400, 2000), Most: 4, Failing: 0.03, Broken: 0.005})
	if err != nil {
		return r, err
	}
	done := func() bool {
		select {
		case <-p.exited:
			return true
		default:
			return false
		}
	}
	harm, sizes, err := s.harmUntil(ctx, steady, done)
	if err != nil {
		return r, err
	}
	if err := p.end(time.Minute); err != nil {
		return r, err
	}
	took := time.Since(began)
	_, a, err := s.settle(ctx)
	if err != nil {
		return r, err
	}
	r.showAccount(a)
	r.show(a.calls == calls, "%d calls in %s, meanwhile %s; %d retries, %d attempts lost, %d handed back",
		calls, round(took), harm, a.retries, a.lost, a.backs)
	if err := s.showVitals(&r, steady, sizes); err != nil {
		return r, err
	}
	return r, s.showMemory(ctx, &r, before)
}

// harms is what was done.
type harms struct{ kills, freezes, restarts, outages, cancels int }

func (h harms) String() string {
	return fmt.Sprintf("%d kills, %d freezes, %d restarts, %d cancels, %d outages of Redis", h.kills, h.freezes, h.restarts, h.cancels, h.outages)
}

// harmUntil does a little of everything in turn, to all workers but the steady one, until done. It answers how many files
// the steady one had open, again and again.
func (s *stage) harmUntil(ctx context.Context, steady *process, done func() bool) (h harms, files []int, err error) {
	steady.doomed = true // so that it is not among the living whom harm befalls
	for turn := 0; !done(); turn++ {
		s.pause(ctx, time.Second, 3*time.Second)
		files = append(files, openFiles(steady.pid()))
		victim := s.living(workerRole)[0]
		switch turn % 5 {
		case 0:
			victim.kill()
			h.kills++
			_, err = s.startWorker(ctx)
		case 1:
			h.cancels += s.cancelSome(ctx)
		case 2:
			err = errors.Join(victim.signal(syscall.SIGSTOP), wait(ctx, 8*time.Second), victim.signal(syscall.SIGCONT))
			h.freezes++
		case 3:
			if _, err = s.startWorker(ctx); err == nil {
				err = victim.stop(s.brief.ShutdownTimeout + 3*time.Second)
			}
			h.restarts++
		case 4:
			if h.outages < either(s, 1, 5) {
				err = errors.Join(s.redis.Kill(), wait(ctx, 3*time.Second), s.redis.Restart())
				h.outages++
			}
		}
		if err != nil {
			return h, files, err
		}
	}
	steady.doomed = false
	return h, files, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// cancelSome cancels a few of the calls that are in flight, and counts those that had not ended before.
func (s *stage) cancelSome(ctx context.Context) (n int) {
	for _, status := range []refcache.Status{refcache.Waiting, refcache.Pending, refcache.Processing, refcache.Retrying} {
		seen := 0
		for info, err := range s.admin.List(ctx, admin.Filter{Status: status}) {
			if err != nil || seen == 3 {
				break
			}
			seen++
			if s.admin.Cancel(ctx, info.RefID) == nil {
				n++
			}
		}
	}
	return n
}

// openFiles counts the open files of a process, connections among them; 0 where the system does not tell.
func openFiles(pid int) int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries)
}

// most is how many more goroutines or files there may be later than at first.
const most = 10

// showVitals compares the last quarter of the load with the first.
func (s *stage) showVitals(r *report, steady *process, files []int) error {
	var goroutines []int
	err := readJournals(s.dir, workerRole, func(l line) {
		if l.Kind == vitals && l.PID == steady.pid() {
			goroutines = append(goroutines, l.Count)
		}
	})
	for _, v := range []struct {
		what string
		seen []int
	}{{"goroutines", goroutines}, {"open files and connections", files}} {
		first, last := peaks(v.seen)
		r.show(last <= first+most, "%s of a worker: at most %d in the first quarter, %d in the last", v.what, first, last)
	}
	return err
}

func peaks(seen []int) (first, last int) {
	quarter := (len(seen) + 3) / 4
	for i, n := range seen {
		if i < quarter {
			first = max(first, n)
		}
		if i >= len(seen)-quarter {
			last = max(last, n)
		}
	}
	return first, last
}

// footprint is what Redis holds, in bytes.
type footprint struct {
	used    int64
	ours    int64 // keys of refq
	asynqs  int64 // keys of asynq
	records int
}

func (s *stage) memory(ctx context.Context) (f footprint, err error) {
	keys := s.client.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		size, err := s.client.MemoryUsage(ctx, keys.Val()).Result()
		switch {
		case err != nil:
			continue // it has just gone
		case strings.HasPrefix(keys.Val(), "asynq:"):
			f.asynqs += size
		default:
			f.ours += size
		}
		if strings.Contains(keys.Val(), "}:t:") && strings.HasPrefix(keys.Val(), "refq:") {
			f.records++
		}
	}
	if err := keys.Err(); err != nil {
		return f, err
	}
	info, err := s.client.InfoMap(ctx, "memory").Result()
	if err != nil {
		return f, err
	}
	_, err = fmt.Sscan(info["Memory"]["used_memory"], &f.used)
	return f, err
}

const (
	maxOurs   = 16 << 10 // of what is left of refq: the workers, and what the sweeps note
	maxGrowth = 3 << 20  // of all that is not asynq's: buffers of connections, among others
)

// showMemory waits until everything has expired, and compares.
func (s *stage) showMemory(ctx context.Context, r *report, before footprint) error {
	var after footprint
	err := s.until(ctx, "all has expired", func() (ok bool, err error) {
		time.Sleep(time.Second)
		after, err = s.memory(ctx)
		return err == nil && after.records == 0 && after.ours <= maxOurs, err
	})
	if err != nil {
		return err
	}
	growth := after.used - after.asynqs - (before.used - before.asynqs)
	r.show(growth <= maxGrowth, "after the TTLs refq's keys take %d B; Redis as a whole %+d KiB, asynq's own archive of %d KiB apart",
		after.ours, growth>>10, after.asynqs>>10)
	return nil
}
