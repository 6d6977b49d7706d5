package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/refcache"
)

// t0 is when the tasks of these tests were created.
var t0 = time.UnixMilli(1_764_000_000_000)

func after(d time.Duration) *time.Time { return new(t0.Add(d)) }

// failedAttempt is one that ran from a time after t0 on.
func failedAttempt(cycle, n int, from, took, delay time.Duration) refcache.Attempt {
	return refcache.Attempt{Cycle: cycle, Attempt: n, Error: "down", Cause: refcache.CauseError, StartedAt: t0.Add(from),
		Timestamp: t0.Add(from + took), Duration: took, Delay: delay, Worker: "w1"}
}

func taskOf(status refcache.Status, attempts []refcache.Attempt, events ...refcache.Event) admin.Task {
	cycle := 1
	for _, a := range attempts {
		cycle = max(cycle, a.Cycle)
	}
	return admin.Task{TaskInfo: refcache.TaskInfo{Func: "f", Status: status, Cycle: cycle, CreatedAt: t0, MaxRetries: 3,
		RetryHistory: attempts, AttemptsTotal: len(attempts), Events: events, EventsTotal: len(events)}}
}

// lines are the timeline in words, the newest first: kind, title, how long, and where its bar stands.
func lines(l timeline) []string {
	var all []string
	for _, leg := range l.Legs {
		for _, m := range leg.Moments {
			line := fmt.Sprintf("%d %s: %s", leg.Cycle, m.Kind, m.Title)
			if m.Duration > 0 {
				line += ", " + duration(m.Duration)
			}
			if m.Bar != nil {
				line += fmt.Sprintf(" [%d+%d]", m.Bar.X, m.Bar.W)
			}
			all = append(all, line)
		}
	}
	return all
}

func TestATimelineDrawsAttemptsAndDelaysToOneScale(t *testing.T) {
	t.Parallel()
	const s = time.Second
	task := taskOf(refcache.Failed, []refcache.Attempt{failedAttempt(1, 1, 0, s, s), failedAttempt(1, 2, 2*s, s, 2*s), failedAttempt(1, 3, 5*s, 5*s, 0)})
	task.CompletedAt, task.Exhausted = after(10*s), true
	require.Equal(t, []string{
		"1 ended: Failed for good: all 3 retries are used",
		"1 failed: Attempt 3 failed, 5 s [500+500]",
		"1 delay: Delay before the retry, 2 s [300+200]",
		"1 failed: Attempt 2 failed, 1 s [200+100]",
		"1 delay: Delay before the retry, 1 s [100+100]",
		"1 failed: Attempt 1 failed, 1 s [0+100]",
		"1 begun: Created",
	}, lines(newTimeline(task)))
}

func TestATimelineShowsWhatIsToCome(t *testing.T) {
	t.Parallel()
	const s = time.Second
	task := taskOf(refcache.Retrying, []refcache.Attempt{failedAttempt(1, 1, 0, s, 3*s)})
	task.ReadAt, task.NextRetryAt, task.RetryCount = t0.Add(2*s), after(4*s), 1
	require.Equal(t, []string{"1 delay: Retry 1 of 3, 3 s [250+750]", "1 failed: Attempt 1 failed, 1 s [0+250]", "1 begun: Created"}, lines(newTimeline(task)))

	task = taskOf(refcache.Pending, nil)
	task.ReadAt = t0.Add(3 * s)
	require.Equal(t, []string{"1 waiting: Waits for a worker, 3 s [0+1000]", "1 begun: Created"}, lines(newTimeline(task)))

	task.Paused = &refcache.Pause{Func: "f"}
	require.Equal(t, []string{"1 waiting: Held up, 3 s [0+1000]", "1 begun: Created"}, lines(newTimeline(task)))
	task.Paused, task.Status, task.Unserved = nil, refcache.Waiting, refcache.UnservedQueue
	require.Equal(t, []string{"1 line: Held up, 3 s [0+1000]", "1 begun: Created"}, lines(newTimeline(task)))

	task = taskOf(refcache.Processing, nil)
	task.ReadAt, task.StartedAt, task.Attempt = t0.Add(4*s), after(3*s), 1
	require.Equal(t, []string{"1 running: Attempt 1 runs, 1 s [750+250]", "1 waiting: Waited for a worker, 3 s [0+750]", "1 begun: Created"}, lines(newTimeline(task)))
}

func TestATimelineShowsTheStayInLine(t *testing.T) {
	t.Parallel()
	const s = time.Second
	task := taskOf(refcache.Waiting, nil)
	task.ReadAt = t0.Add(4 * s)
	require.Equal(t, []string{"1 line: Stands in line, 4 s [0+1000]", "1 begun: Created"}, lines(newTimeline(task)))

	task = taskOf(refcache.Waiting, []refcache.Attempt{failedAttempt(1, 1, 0, s, s)}) // its retry was due, and not let in
	task.ReadAt, task.WaitsSince = t0.Add(4*s), t0.Add(2*s)
	require.Equal(t, []string{"1 line: Stands in line, 2 s [500+500]", "1 delay: Delay before the retry, 1 s [250+250]",
		"1 failed: Attempt 1 failed, 1 s [0+250]", "1 begun: Created"}, lines(newTimeline(task)))

	task = taskOf(refcache.Pending, nil)
	task.ReadAt, task.WaitsSince = t0.Add(4*s), t0.Add(3*s)
	require.Equal(t, []string{"1 waiting: Waits for a worker, 1 s [750+250]", "1 line: Stood in line, 3 s [0+750]", "1 begun: Created"},
		lines(newTimeline(task)))

	task = taskOf(refcache.Processing, []refcache.Attempt{failedAttempt(1, 1, 5*s, s, 0)})
	task.ReadAt, task.WaitsSince, task.StartedAt, task.Attempt = t0.Add(20*s), t0.Add(9*s), after(10*s), 2
	require.Equal(t, []string{"1 running: Attempt 2 runs, 10 s [500+500]", "1 waiting: Waited for a worker, 1 s [450+50]",
		"1 line: Stood in line, 3 s [300+150]", "1 failed: Attempt 1 failed, 1 s [250+50]", "1 waiting: Waited to start, 5 s [0+250]",
		"1 begun: Created"}, lines(newTimeline(task)))
}

func TestATimelineTellsWhatWasUnavailable(t *testing.T) {
	t.Parallel()
	const s = time.Second
	task := taskOf(refcache.Waiting, nil, refcache.Event{At: t0.Add(s), Kind: refcache.EventUnavailable, By: "w1", Note: "503"})
	task.ReadAt, task.WaitsSince = t0.Add(2*s), t0.Add(s)
	line := newTimeline(task)
	require.Equal(t, []string{"1 line: Stands in line, 1 s [500+500]", "1 waiting: Waited to start, 1 s [0+500]",
		"1 moved: Told that what it needs is unavailable", "1 begun: Created"}, lines(line))
	require.Equal(t, "503", line.Legs[0].Moments[2].Error.Head)
}

// A retry by hand after a week must not press what was before into a dot.
func TestEveryRetryByHandHasAScaleOfItsOwn(t *testing.T) {
	t.Parallel()
	const s, week = time.Second, 7 * 24 * time.Hour
	task := taskOf(refcache.Complete, []refcache.Attempt{failedAttempt(1, 1, 0, s, 0), failedAttempt(1, 2, week, s, 0)},
		refcache.Event{At: t0.Add(week), Kind: refcache.EventRetry, By: "bob@desk"},
		refcache.Event{At: t0.Add(2 * week), Kind: refcache.EventFresh, By: "ann@desk"})
	task.Cycle, task.Attempt, task.StartedAt, task.CompletedAt = 2, 1, after(2*week+s), after(2*week+2*s)
	line := newTimeline(task)
	require.Equal(t, []string{
		"2 complete: Attempt 1 is complete, 1 s [500+500]",
		"2 waiting: Waited to start, 1 s [0+500]",
		"2 begun: Retried by hand with a fresh budget",
		"1 failed: Attempt 2 failed, 1 s [0+1000]",
		"1 begun: Retried by hand",
		"1 failed: Attempt 1 failed, 1 s [0+1000]",
		"1 begun: Created",
	}, lines(line))
	require.Equal(t, "ann@desk", line.Legs[0].Moments[2].By)
	require.Equal(t, *after(2 * week), line.Legs[0].Moments[2].At)
}

func TestANewCycleThatNobodyBeganByHandWasCalledAgain(t *testing.T) {
	t.Parallel()
	task := taskOf(refcache.Cancelled, []refcache.Attempt{failedAttempt(1, 1, 0, time.Second, 0), failedAttempt(2, 1, time.Hour, time.Second, time.Minute)},
		refcache.Event{At: t0.Add(time.Hour + 31*time.Second), Kind: refcache.EventCancel, By: "bob@desk"})
	require.Equal(t, []string{
		"2 cancelled: Cancelled",
		"2 delay: Waited, of a delay of 1 min, 30 s [32+968]",
		"2 failed: Attempt 1 failed, 1 s [0+32]",
		"2 begun: Called again",
		"1 failed: Attempt 1 failed, 1 s [0+1000]",
		"1 begun: Created",
	}, lines(newTimeline(task)))
}

func TestATimelineTellsOfWorkersThatWereLostOrHadNoTime(t *testing.T) {
	t.Parallel()
	const s = time.Second
	lost := failedAttempt(1, 1, 0, 6*s, 0)
	lost.Cause, lost.Error = refcache.CauseLost, "worker w1 was lost"
	task := taskOf(refcache.Processing, []refcache.Attempt{lost},
		refcache.Event{At: t0.Add(6 * s), Kind: refcache.EventRedelivered, By: "w2"}, refcache.Event{At: t0.Add(8 * s), Kind: refcache.EventHandedBack, By: "w2"},
		refcache.Event{At: t0.Add(9 * s), Kind: "unheard_of", By: "w3"})
	task.ReadAt, task.StartedAt, task.Attempt = t0.Add(10*s), after(9*s), 2
	require.Equal(t, []string{
		"1 running: Attempt 2 runs, 1 s [900+100]",
		"1 waiting: Waited for a worker, 3 s [600+300]",
		"1 moved: unheard_of",
		"1 moved: Handed back by a worker that could not run it",
		"1 moved: Taken from the worker that was lost",
		"1 lost: Attempt 1 was lost with its worker, 6 s [0+600]",
		"1 begun: Created",
	}, lines(newTimeline(task)))
}

func TestATimelineSaysWhatIsNotKept(t *testing.T) {
	t.Parallel()
	task := taskOf(refcache.Failed, []refcache.Attempt{failedAttempt(7, 3, 90*time.Hour, time.Second, 0)})
	task.AttemptsTotal, task.EventsTotal, task.CompletedAt = 101, 2, after(90*time.Hour+time.Second)
	line := newTimeline(task)
	require.Equal(t, []string{
		"7 ended: Failed for good: its error says that no retry would help",
		"7 failed: Attempt 3 failed, 1 s [0+1000]",
		"7 begun: What was before is not kept",
		"1 begun: Created",
	}, lines(line))
	require.Equal(t, "100 earlier attempts and 2 earlier events not kept.", line.NotKept)
}

func TestADelayThatBecameLongerSaysSo(t *testing.T) {
	t.Parallel()
	const s = time.Second
	task := taskOf(refcache.Processing, []refcache.Attempt{failedAttempt(1, 1, 0, s, 2*s)})
	task.ReadAt, task.StartedAt, task.Attempt = t0.Add(34*s), after(33*s), 2
	require.Contains(t, lines(newTimeline(task)), "1 delay: Delay of 2 s, and 30 s more for a worker, 32 s [29+941]")
}

// Clocks of hosts differ, and whoever meddles with a record writes anything.
func TestTimesThatCannotBeDrawAllTheSame(t *testing.T) {
	t.Parallel()
	for _, from := range []time.Duration{-time.Hour, 0, 200 * 365 * 24 * time.Hour} {
		for _, status := range refcache.Statuses {
			task := taskOf(status, []refcache.Attempt{failedAttempt(1, 1, from, -time.Second, time.Hour), failedAttempt(1, 2, from/2, time.Second, 0)})
			for _, leg := range newTimeline(task).Legs {
				for _, m := range leg.Moments {
					if m.Bar != nil {
						require.GreaterOrEqual(t, m.Bar.X, 0)
						require.LessOrEqual(t, m.Bar.X+m.Bar.W, barWidth)
					}
				}
			}
		}
	}
}

func TestStacksAreFoldedBehindWhatHappened(t *testing.T) {
	t.Parallel()
	for text, head := range map[string]string{
		"":                        "",
		"down":                    "down",
		" a\nb\nc\nd\n":           "a\nb\nc",
		"panic: x\n\ngoroutine 1": "panic: x",
		"panic: x\ngoroutine 1 [running]:\nmain.go:7":                                "panic: x",
		"exit status 1: Traceback (most recent call last):\n  File\nKeyError: 'url'": "KeyError: 'url'",
		strings.Repeat("é", 400):                                                     strings.Repeat("é", 250) + "…",
	} {
		e := splitError(text)
		require.Equal(t, head, e.Head)
		if whole := strings.TrimSpace(text); whole == head {
			require.Empty(t, e.Whole)
		} else {
			require.Equal(t, whole, e.Whole)
			require.Equal(t, strings.Count(whole, "\n")+1, e.Lines)
		}
	}
}

func TestOnlyTheLastAttemptsInARowCountAsAlike(t *testing.T) {
	t.Parallel()
	history := func(errs ...string) (all []refcache.Attempt) {
		for _, text := range errs {
			all = append(all, refcache.Attempt{Error: text, Cause: refcache.CauseError})
		}
		return all
	}
	require.Equal(t, 0, alikeInARow(nil))
	require.Equal(t, 0, alikeInARow(history("down")))
	require.Equal(t, 1, alikeInARow(history("down 1", "up", "down 2", "down 3")))
	cancelled := append(history("down 1", "down 2"), refcache.Attempt{Error: "cancelled by bob", Cause: refcache.CauseCancelled})
	require.Equal(t, 1, alikeInARow(cancelled))
	require.Equal(t, 0, alikeInARow(cancelled[2:]))
}
