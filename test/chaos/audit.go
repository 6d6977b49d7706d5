//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// book is everything the journals say of one call.
type book struct {
	ref     refcache.Ref
	works   []line // of workers, by time
	answers []line // of producers: accepted, answered, vanished
}

// books reads the journals, call by call.
func (s *stage) books() (map[refcache.Ref]*book, error) {
	all := map[refcache.Ref]*book{}
	of := func(ref refcache.Ref) *book {
		if all[ref] == nil {
			all[ref] = &book{ref: ref}
		}
		return all[ref]
	}
	err := readJournals(s.dir, workerRole, func(l line) {
		if l.Ref != "" {
			of(l.Ref).works = append(of(l.Ref).works, l)
		}
	})
	if err != nil {
		return nil, err
	}
	err = readJournals(s.dir, producerRole, func(l line) {
		if l.Ref != "" && l.Kind != refused {
			of(l.Ref).answers = append(of(l.Ref).answers, l)
		}
	})
	return all, err
}

// settle stops the producers, waits for the end of every call and checks them all.
func (s *stage) settle(ctx context.Context, producers ...*process) (map[refcache.Ref]*book, account, error) {
	return s.settleAfter(ctx, nil, producers)
}

// settleAfter is settle after spans in which Redis itself lost writes.
func (s *stage) settleAfter(ctx context.Context, lossy []span, producers []*process) (map[refcache.Ref]*book, account, error) {
	for _, p := range producers {
		if err := p.stop(waitLimit); err != nil {
			return nil, account{}, err
		}
	}
	books, err := s.books()
	if err != nil {
		return nil, account{}, err
	}
	a, err := s.audit(ctx, books, lossy)
	return books, a, err
}

func count(lines []line, k kind) (n int) {
	for _, l := range lines {
		if l.Kind == k {
			n++
		}
	}
	return n
}

// account is what became of all calls.
type account struct {
	calls, complete, failed, cancelled int
	executions, retries, lost, backs   int
	gone                               int // have no record, and their callers no answer
	vanished                           int // callers who were told that their call had vanished
	rolledBack                         int // calls that do not add up, and were under way while writes got lost
	wrong                              []string
	infos                              map[refcache.Ref]refcache.TaskInfo
}

// audit waits until every call has ended and checks each: that it has one outcome, the right one, that its callers were
// told that, and that its executions are accounted for in attempts, budget and history.
//
// Calls that were under way in one of the spans are forgiven what does not add up: Redis itself lost writes then. What is
// impossible is never forgiven.
func (s *stage) audit(ctx context.Context, all map[refcache.Ref]*book, lossy []span) (account, error) {
	a := account{infos: map[refcache.Ref]refcache.TaskInfo{}}
	var mu sync.Mutex
	var readers sync.WaitGroup
	var failure error
	books := make(chan *book)
	for range 16 {
		readers.Go(func() {
			for b := range books {
				info, stored, err := s.outcome(ctx, b.ref)
				mu.Lock()
				if err != nil && !errors.Is(err, refcache.ErrTaskNotFound) {
					failure = errors.Join(failure, err)
				} else {
					a.add(b, info, stored, err == nil, lossy)
				}
				mu.Unlock()
			}
		})
	}
	for _, b := range all {
		books <- b
	}
	close(books)
	readers.Wait()
	return a, failure
}

// outcome waits for the end of a call and reads all that is known of it.
func (s *stage) outcome(ctx context.Context, ref refcache.Ref) (refcache.TaskInfo, answer, error) {
	res, err := producer.Wait(ctx, s.producer, s.brief.Policy.function(), ref)
	var ended *refcache.TaskError
	if err != nil && !errors.As(err, &ended) {
		return refcache.TaskInfo{}, answer{}, err
	}
	info, err := s.producer.Info(ctx, ref)
	return info, res.Value, err
}

func (a *account) add(b *book, info refcache.TaskInfo, stored answer, there bool, lossy []span) {
	a.calls++
	a.executions += count(b.works, started)
	a.vanished += count(b.answers, vanished)
	if !there {
		switch {
		case count(b.answers, answered) == 0:
			a.gone++
		case b.during(lossy):
			a.rolledBack++
		default:
			a.wrong = append(a.wrong, fmt.Sprintf("%s: answered, and has no record", b.ref))
		}
		return
	}
	a.infos[b.ref] = info
	a.retries += info.RetryCount
	a.lost += info.LostCount
	backs := handedBack(info)
	a.backs += backs
	switch info.Status {
	case refcache.Complete:
		a.complete++
	case refcache.Failed:
		a.failed++
	case refcache.Cancelled:
		a.cancelled++
	}
	problems := b.problems(info, stored, backs)
	if len(problems) > 0 && b.during(lossy) {
		a.rolledBack++
		problems = nil
	}
	for _, problem := range append(b.impossible(info, stored), problems...) {
		a.wrong = append(a.wrong, fmt.Sprintf("%s: %s", b.ref, problem))
	}
}

// span is from when till when something went on.
type span struct {
	from, till time.Time
	queues     []string // where; none: everywhere
}

// in reports whether it went on in a queue.
func (s span) in(queue string) bool { return len(s.queues) == 0 || slices.Contains(s.queues, queue) }

func queueOf(ref refcache.Ref) string {
	name, _, _ := strings.Cut(string(ref), ":")
	return name
}

// during reports whether anything is written of the call that happened in one of the spans.
func (b *book) during(spans []span) bool {
	for _, s := range spans {
		if !s.in(queueOf(b.ref)) {
			continue
		}
		for _, l := range slices.Concat(b.works, b.answers) {
			if l.time().After(s.from) && l.time().Before(s.till) {
				return true
			}
		}
	}
	return false
}

func handedBack(info refcache.TaskInfo) (n int) {
	for _, e := range info.Events {
		if e.Kind == refcache.EventHandedBack {
			n++
		}
	}
	return n
}

// impossible is what no lost write explains: the journals are files, and lose nothing.
func (b *book) impossible(info refcache.TaskInfo, stored answer) (found []string) {
	if info.Status == refcache.Complete && !b.gave(stored.Run) {
		found = append(found, fmt.Sprintf("result of run %q, which no worker gave in %d executions", stored.Run, count(b.works, started)))
	}
	for _, l := range b.answers {
		if l.Kind == answered && l.Status == refcache.Complete && l.Text != "" {
			found = append(found, "a caller was given a "+l.Text)
		}
	}
	return found
}

// problems are what does not fit between the journals and the record of a call in its first cycle.
func (b *book) problems(info refcache.TaskInfo, stored answer, backs int) (found []string) {
	wrong := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	starts := count(b.works, started)
	for _, l := range b.answers {
		if l.Kind == answered && (l.Status != info.Status || l.Run != stored.Run) {
			wrong("a caller was told %s of run %q %s, the record says %s of run %q", l.Status, l.Run, l.Text, info.Status, stored.Run)
		}
	}
	if info.Cycle != 1 {
		return found // what follows counts within a cycle
	}
	if starts > info.Attempt+backs {
		wrong("%d executions for %d attempts and %d hand-backs", starts, info.Attempt, backs)
	}
	if info.RetryCount > count(b.works, failed) {
		wrong("%d retries for %d failures", info.RetryCount, count(b.works, failed))
	}
	unfinished := info.Attempt
	if info.Status == refcache.Complete {
		unfinished--
	}
	if info.AttemptsTotal != unfinished {
		wrong("%d attempts in the history for %d that did not complete", info.AttemptsTotal, unfinished)
	}
	if info.RetryCount > info.MaxRetries || info.LostCount > refcache.MaxLost+1 {
		wrong("%d retries of %d, %d losses", info.RetryCount, info.MaxRetries, info.LostCount)
	}
	return found
}

func (b *book) gave(run string) bool {
	for _, l := range b.works {
		if l.Kind == returned && l.Run == run {
			return true
		}
	}
	return false
}

// startAfter is when the call was next started after a time, by another process than the one named; zero: never.
func (b *book) startAfter(at time.Time, notBy int) (first time.Time) {
	for _, l := range b.works {
		if l.Kind == started && l.PID != notBy && l.time().After(at) && (first.IsZero() || l.time().Before(first)) {
			first = l.time()
		}
	}
	return first
}

// ranAt reports whether an execution by a process had started and not ended at a time.
func (b *book) ranAt(at time.Time, pid int) bool {
	open := map[string]bool{}
	for _, l := range b.works {
		if l.PID == pid && l.time().Before(at) {
			open[l.Run] = l.Kind == started
		}
	}
	for _, runs := range open {
		if runs {
			return true
		}
	}
	return false
}

// showAccount adds what must be true after every scenario.
func (r *report) showAccount(a account) {
	r.show(a.gone == 0 && a.vanished == 0, "%d calls, %d lost", a.calls, a.gone+a.vanished)
	r.show(len(a.wrong) == 0, "%d complete, %d failed, %d cancelled in %d executions; %d do not add up%s",
		a.complete, a.failed, a.cancelled, a.executions, len(a.wrong), examples(a.wrong))
}

func examples(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprintf(", such as %q", all[:min(3, len(all))])
}
