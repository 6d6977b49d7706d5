package main

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// panicText is what a worker keeps of a panic.
func panicText(f func()) (text string) {
	defer func() {
		text = fmt.Sprintf("panic: %v\n\n%s", recover(), debug.Stack())
	}()
	f()
	return ""
}

func divide(by int) int { return 1 / by }

func TestAStackIsFoldedToThePlaceOfThePanic(t *testing.T) {
	t.Parallel()
	p := page{term.Page{Screen: &term.Screen{}}}
	for _, f := range []func(){
		func() { _ = divide(0) },
		func() { panic("out of paper") },
	} {
		lines := strings.Split(p.errorText(panicText(f), errorLines), "\n")
		require.Len(t, lines, 2)
		require.Regexp(t, `^panic: (runtime error: integer divide by zero|out of paper)$`, lines[0])
		require.Regexp(t, `^at github.com/refq/refq/cmd/refq\.(divide|TestAStack\S+), .*/page_test\.go:\d+: -o json shows the stack$`, lines[1])
	}
	require.Equal(t, "panic: x\npanicked: -o json shows the stack", p.errorText("panic: x\n\ngoroutine 7 [running]:\nmain.f…", errorLines))
}

func TestLongErrorsAreCut(t *testing.T) {
	t.Parallel()
	p := page{term.Page{Screen: &term.Screen{}}}
	require.Equal(t, "a\nb\n… 2 lines more: -o json shows them", p.errorText("a\nb\r\nc\nd\n", 2))
	require.Equal(t, `tab    \x1b[31m \u202e café 你好`, p.errorText("tab\t\x1b[31m \u202e café 你好", 2))
}

func TestTheTimelineIsInOrderAcrossCyclesAndSaysWhatComesNext(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 5, 4, 23, 59, 58, 0, time.Local)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	due := at(70)
	info := refcache.TaskInfo{Status: refcache.Retrying, Cycle: 2, Attempt: 1, RetryCount: 1, MaxRetries: 3,
		CreatedAt: at(0), NextRetryAt: &due, AttemptsTotal: 104, EventsTotal: 3,
		RetryHistory: []refcache.Attempt{
			{Cycle: 1, Attempt: 1, Cause: refcache.CauseLost, Error: "worker w1 was lost", Timestamp: at(1), Duration: time.Second, Worker: "w1"},
			{Cycle: 1, Attempt: 2, Cause: refcache.CauseTimeout, Error: "timed out after 5s", Timestamp: at(3), Duration: 5 * time.Second, Worker: "w2"},
			{Cycle: 2, Attempt: 1, Cause: refcache.CausePanic, Error: "panic: boo", Timestamp: at(5), Worker: "w\x1b", Delay: 65 * time.Second},
		},
		Events: []refcache.Event{
			{At: at(1), Kind: refcache.EventRedelivered, By: "w2"},
			{At: at(4), Kind: refcache.EventFresh, By: "ann@host"},
			{At: at(4), Kind: "new\x07", By: "bob@host"},
		}}
	var printed bytes.Buffer
	p := page{term.Page{Screen: &term.Screen{To: &printed}}}
	p.timeline(info)
	require.NoError(t, p.Print())
	require.Equal(t, `  2026-05-04
  23:59:58.000  created
                … 101 earlier attempts are not kept
  23:59:59.000  attempt 1 of cycle 1 was lost after 1.0s on w1
                  worker w1 was lost
  23:59:59.000  given to another worker by w2
  2026-05-05
  00:00:01.000  attempt 2 of cycle 1 timed out after 5.0s on w2
                  timed out after 5s
  00:00:02.000  retried by hand with a fresh budget by ann@host
  00:00:02.000  new\x07 by bob@host
  00:00:03.000  attempt 1 of cycle 2 panicked after 0ms on w\x1b
                  panic: boo
                  next attempt 1m5s later
  00:01:08.000  retry 1 of 3 is due now
`, printed.String())
}

func TestAWaitingCallTellsWhereItStands(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.Local)
	turn := &refcache.TurnInfo{Gate: "maps", Key: "http://a", Position: 4, Running: 5, Limit: 5, Reason: refcache.WaitsLimit}
	info := refcache.TaskInfo{RefID: "default:0", Status: refcache.Waiting, Cycle: 1, CreatedAt: at, WaitsFor: refcache.WaitsTurn, Turn: turn,
		Note: turn.String(), EventsTotal: 1, Events: []refcache.Event{{At: at.Add(time.Second), Kind: refcache.EventUnavailable, By: "w1", Note: "503: busy"}}}
	require.Equal(t, `waits for its turn: 4th of key http://a, 5 of 5 running`, listedDetail(info))
	var printed bytes.Buffer
	p := page{term.Page{Screen: &term.Screen{To: &printed}}}
	p.status(info, "")
	require.NoError(t, p.Print())
	_, timeline, _ := strings.Cut(printed.String(), "\n\n")
	require.Contains(t, printed.String(), `note        waits for its turn: 4th of key http://a, 5 of 5 running`)
	require.Equal(t, `  2026-05-04
  12:00:00.000  created
  12:00:01.000  told that what it needs is unavailable by w1
                  503: busy
                waits for its turn
`, timeline)
}

func TestATimelineEndsInWhatHoldsTheCallUp(t *testing.T) {
	t.Parallel()
	for status, told := range map[refcache.Status]string{refcache.Pending: "waits for a worker", refcache.Waiting: "waits for its turn",
		refcache.Retrying: "retry 1 of 3 is due now"} {
		last := func(i refcache.TaskInfo) string {
			i.Status, i.RetryCount, i.MaxRetries, i.NextRetryAt = status, 1, 3, new(time.Now())
			var printed bytes.Buffer
			p := page{term.Page{Screen: &term.Screen{To: &printed}}}
			p.timeline(i)
			require.NoError(t, p.Print())
			return printed.String()
		}
		require.Contains(t, last(refcache.TaskInfo{Note: "noted"}), told)
		require.NotContains(t, last(refcache.TaskInfo{Note: "noted"}), "noted")
		for _, i := range []refcache.TaskInfo{{Unserved: refcache.UnservedQueue, Note: "nobody\x1b"}, {Paused: &refcache.Pause{Func: "f"}, Note: "nobody\x1b"}} {
			require.Contains(t, last(i), `nobody\x1b`)
			require.NotContains(t, last(i), "waits for")
		}
	}
}

func TestOfAWorkerWithManyQueuesAFewAreNamed(t *testing.T) {
	t.Parallel()
	w := monitor.WorkerHealth{ID: "w1", Alive: true, Functions: []string{"b@1", "a@1"}}
	for n := range 300 {
		w.Queues = append(w.Queues, fmt.Sprintf("queue-%03d", n))
	}
	var printed bytes.Buffer
	p := page{term.Page{Screen: &term.Screen{To: &printed}}}
	p.workers([]monitor.WorkerHealth{w})
	require.NoError(t, p.Print())
	require.Contains(t, printed.String(), "  queue-000, queue-001, queue-002, queue-003, queue-004 and 295 more  a@1, b@1\n")
}
