//go:build unix

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/refcache"
)

var turns = scenario{
	name: "turns", harm: "SIGKILL of a worker that runs the one call of a key that may run at a time, 100 times",
	must:   "never two of a key at once, each key's next start <= 9 s after the kill",
	policy: policy{Gate: refcache.Gate{Name: "keys", Each: 1}},
	within: [2]time.Duration{2 * time.Minute, 10 * time.Minute},
	run:    killInTurn,
}

// killInTurn kills some workers at a time, and some more when the keys of those that were killed go on: a key that two kills
// hit would tell nothing of either.
func killInTurn(ctx context.Context, s *stage) (r report, err error) {
	s.brief.Concurrency = 4
	if _, err := s.startWorkers(ctx, either(s, 8, 12)); err != nil {
		return r, err
	}
	keys := numbered("key", either(s, 14, 36))
	calls, err := s.startProducer(load{Callers: 6 * len(keys), Keys: keys, Least: 800, Most: 2500})
	if err != nil {
		return r, err
	}
	var kills []kill
	for range either(s, 1, 20) {
		s.pause(ctx, 9500*time.Millisecond, 11*time.Second)
		some, err := s.killSome(ctx, either(s, 4, 5))
		if err != nil {
			return r, err
		}
		kills = append(kills, some...)
		if _, err := s.startWorkers(ctx, len(some)); err != nil {
			return r, err
		}
	}
	s.pause(ctx, 9500*time.Millisecond, 9500*time.Millisecond)
	books, a, err := s.settle(ctx, calls)
	if err != nil {
		return r, err
	}
	all := executionsOf(books, kills)
	times, never := nextStarts(all, kills)
	r.showAccount(a)
	r.show(a.retries == 0 && a.lost >= len(kills), "%d kills, %d attempts lost, %d retries spent", len(kills), a.lost, a.retries)
	together := overlaps(all)
	r.show(together == 0, "two of a key ran at once %d times in %d executions of %d keys", together, a.executions, len(all))
	r.show(len(times) >= len(kills) && never == 0 && slices.Max(times) <= s.within(9*time.Second), "%d keys went on, %d did not", len(times), never)
	r.showTimes("kill to the key's next start", times, s.within(7*time.Second), s.within(9*time.Second))
	return r, nil
}

func numbered(word string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(word, i))
	}
	return all
}

// killSome kills some workers, each of which runs something, and nothing that has been lost before: such a call is held back for
// longer, as it may be what kills workers.
func (s *stage) killSome(ctx context.Context, n int) (kills []kill, err error) {
	err = s.until(ctx, fmt.Sprintf("%d workers may be killed", n), func() (bool, error) {
		mayDie := map[int]bool{}
		for info, err := range s.admin.List(ctx, admin.Filter{Status: refcache.Processing}) {
			if err != nil {
				return false, err
			}
			pid := pidOf(info.Worker)
			spared, known := mayDie[pid]
			mayDie[pid] = (spared || !known) && info.LostCount == 0
		}
		victims := slices.DeleteFunc(s.living(workerRole), func(p *process) bool { return !mayDie[p.pid()] })
		if len(victims) < n {
			return false, nil
		}
		for _, p := range victims[:n] {
			kills = append(kills, kill{p.pid(), p.kill()})
		}
		return true, nil
	})
	return kills, err
}

// execution is one of a call, from its start until it ended or its worker was killed.
type execution struct {
	pid        int
	from, till time.Time
}

// executionsOf are all executions, by key and in the order of their starts.
func executionsOf(books map[refcache.Ref]*book, kills []kill) map[string][]execution {
	all := map[string][]execution{}
	for _, b := range books {
		ends := map[string]time.Time{}
		for _, l := range b.works {
			if l.Kind != started {
				ends[l.Run] = l.time()
			}
		}
		for _, l := range b.works {
			if l.Kind != started {
				continue
			}
			till, ended := ends[l.Run]
			if !ended {
				till = killed(kills, l.PID)
			}
			all[l.Key] = append(all[l.Key], execution{l.PID, l.time(), till})
		}
	}
	for _, some := range all {
		slices.SortFunc(some, func(a, b execution) int { return a.from.Compare(b.from) })
	}
	return all
}

// killed is when a process was killed. One that was not has not ended what no journal says the end of.
func killed(kills []kill, pid int) time.Time {
	for _, k := range kills {
		if k.pid == pid {
			return k.at
		}
	}
	return time.Now()
}

// overlaps counts the executions that began before another one of their key had ended.
func overlaps(all map[string][]execution) (n int) {
	for _, some := range all {
		var till time.Time
		for _, e := range some {
			if e.from.Before(till) {
				n++
			}
			if e.till.After(till) {
				till = e.till
			}
		}
	}
	return n
}

// nextStarts are the times from each kill to the next start of each key of which a call ran there, and how many keys had none.
func nextStarts(all map[string][]execution, kills []kill) (times []time.Duration, never int) {
	for _, k := range kills {
		for _, some := range all {
			ran := slices.IndexFunc(some, func(e execution) bool { return e.pid == k.pid && !e.from.After(k.at) && !e.till.Before(k.at) })
			switch {
			case ran < 0:
			case ran == len(some)-1:
				never++
			default:
				times = append(times, some[ran+1].from.Sub(k.at))
			}
		}
	}
	return times, never
}
