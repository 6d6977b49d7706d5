//go:build unix

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/netproxy"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// held is a function that tells of its start, and of why and when its context ended.
type held struct {
	starts chan string
	ends   chan ended
}

type ended struct {
	at    time.Time
	cause error
}

func newHeld() *held { return &held{make(chan string, 100), make(chan ended, 100)} }

func (h *held) run(ctx context.Context, in string) (string, error) {
	h.starts <- in
	<-ctx.Done()
	h.ends <- ended{time.Now(), context.Cause(ctx)}
	return "too late", nil
}

// cancels cancels a call that runs, and returns how long its function did not know.
func (l *lab) cancels(fn *held, ref refcache.Ref) time.Duration {
	l.Helper()
	start := time.Now()
	require.NoError(l, l.p.Cancel(l.Context(), ref))
	require.Equal(l, refcache.Cancelled, l.info(ref).Status, "at once")
	end := await(l.T, "its context ends", fn.ends)
	require.ErrorIs(l, end.cause, worker.ErrVoid)
	return end.at.Sub(start)
}

// The next beat would tell it too, but after a second on average: most of many that are quick were told by message. It
// runs alone, because it measures.
func TestACancelledFunctionIsToldWithin100ms(t *testing.T) {
	l, fn := newLab(t), newHeld()
	l.worker(nil, fn.run)
	var refs []refcache.Ref
	for n := range 21 {
		refs = append(refs, l.submit(l.p, fmt.Sprint(n)))
	}
	for range refs {
		await(t, "the function runs", fn.starts)
	}
	var took []time.Duration
	for _, ref := range refs {
		took = append(took, l.cancels(fn, ref))
	}
	slices.Sort(took)
	t.Logf("cancel to the end of the context: median %v, slowest %v of %d", took[10], took[20], len(took))
	require.LessOrEqual(t, took[10], testkit.Within(100*time.Millisecond))
	l.silent()
	require.Empty(t, fn.starts, "none ran again")
}

func TestACancelledFunctionWhoseMessageIsLostIsToldByTheNextBeat(t *testing.T) {
	for _, fault := range []netproxy.Fault{netproxy.DropRequest, netproxy.Stall} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			l, fn := newLab(t), newHeld()
			way := l.way()
			way.SetFaults(func(cmd []string) netproxy.Fault {
				if cmd[0] == "SSUBSCRIBE" && strings.Contains(cmd[1], "}:cancel:") {
					return fault
				}
				return netproxy.Pass
			})
			l.worker(way, fn.run)
			ref := l.submit(l.p, "in")
			await(t, "the function runs", fn.starts)
			took := l.cancels(fn, ref)
			t.Logf("cancel to the end of the context: %v", took.Round(time.Millisecond))
			require.LessOrEqual(t, took, testkit.Within(2*time.Second), "a beat")
			l.silent()
			require.Empty(t, fn.starts, "it does not run again")
		})
	}
}

// Whichever comes first, what is then on record, and what waiters hear, is all of the one or all of the other.
func TestFinishAndCancelRaceForTheWholeRecord(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const calls = 200
	var gates [calls]chan bool
	var open [calls]func()
	for n := range calls {
		gates[n] = make(chan bool)
		open[n] = sync.OnceFunc(func() { close(gates[n]) })
	}
	l.worker(nil, func(_ context.Context, in string) (string, error) {
		n, _ := strconv.Atoi(in)
		<-gates[n]
		return "did " + in, nil
	})
	way, racing := l.way(), atomic.Int64{}
	way.SetFaults(func(cmd []string) netproxy.Fault {
		n := racing.Load()
		if n%3 == 1 || scriptOf(l.rdb, cmd) == "cancel" { // 1: already when the task is read to be cancelled
			open[n]()
		}
		return netproxy.Pass
	})
	person := l.producer(way)

	finished := 0
	for n := range calls {
		if n%labConcurrency == 0 { // as many as can run at once
			for next := range labConcurrency {
				l.submit(l.p, fmt.Sprint(n+next))
			}
		}
		ref := l.submit(l.p, fmt.Sprint(n)) // again: it is the same
		waited := l.wait(ref)
		l.becomes(ref, refcache.Processing)
		racing.Store(int64(n))
		if n%3 == 0 {
			open[n]() // else the finish sets off when the cancel is on its way
		}
		cancelled := person.Cancel(t.Context(), ref)
		open[n]()
		if l.isWhole(ref, n, cancelled, await(t, "the waiter hears of the end", waited)) {
			finished++
		}
	}
	t.Logf("%d finished, %d were cancelled", finished, calls-finished)
	require.NotZero(t, finished)
	require.NotEqual(t, calls, finished)
	l.silent()
}

// heard is what a waiter heard of the end of a call.
type heard struct {
	value string
	err   error
}

func (l *lab) wait(ref refcache.Ref) <-chan heard {
	waited := make(chan heard, 1)
	go func() {
		res, err := producer.Wait(l.Context(), l.p, l.work, ref)
		waited <- heard{res.Value, err}
	}()
	return waited
}

// isWhole checks that the call either finished or was cancelled, in every respect, and says which.
func (l *lab) isWhole(ref refcache.Ref, n int, cancelled error, heard heard) (finished bool) {
	l.Helper()
	info := l.info(ref)
	res, err := producer.Get(l.Context(), l.p, l.work, ref)
	require.NoError(l, err)
	require.NotNil(l, info.CompletedAt)
	require.Empty(l, info.Worker)
	require.Empty(l, waiters(l, l.rdb, "refq:{"+ref.Queue()+"}:t:"+ref.Hash()))
	if info.Status == refcache.Complete {
		require.ErrorIs(l, cancelled, refcache.ErrNotCancellable)
		require.NoError(l, heard.err)
		require.Equal(l, fmt.Sprintf("did %d", n), heard.value)
		require.Equal(l, heard.value, res.Value)
		require.Empty(l, info.RetryHistory)
		require.Empty(l, info.Events)
		return true
	}
	require.Equal(l, refcache.Cancelled, info.Status)
	require.NoError(l, cancelled)
	var failure *refcache.TaskError
	require.ErrorAs(l, heard.err, &failure)
	require.Equal(l, refcache.Cancelled, failure.Info.Status)
	require.False(l, res.HasValue)
	require.Len(l, info.RetryHistory, 1)
	require.Equal(l, refcache.CauseCancelled, info.RetryHistory[0].Cause)
	require.Len(l, info.Events, 1)
	require.Equal(l, refcache.EventCancel, info.Events[0].Kind)
	return false
}
