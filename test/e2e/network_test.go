//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/netproxy"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// working is a function that takes a while, and the counted one behind it.
func (c *counted) working(d time.Duration) func(context.Context, string) (string, error) {
	return func(ctx context.Context, in string) (string, error) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		return c.run(ctx, in)
	}
}

// A worker that another one, without such trouble, would take for dead loses the attempt.
func TestCallsEndAlthoughEachReplyTakesOverASecond(t *testing.T) {
	t.Parallel()
	l, fn := newLab(t), &counted{}
	way := l.way()
	way.SetDelay(1100 * time.Millisecond)
	log := l.worker(way, fn.working(6500*time.Millisecond))
	start := time.Now()
	slow := l.producer(way)
	var ref refcache.Ref
	l.until("the call is made", func() (made bool) { // a machine that is slow, too, may not manage within the timeout
		var err error
		ref, err = producer.Submit(t.Context(), slow, l.work, "in")
		return err == nil
	})
	l.until("it runs", func() bool { return l.info(ref).StartedAt != nil })
	l.worker(nil, fn.run)
	done, err := producer.Wait(t.Context(), slow, l.work, ref)
	require.NoError(t, err)
	require.Equal(t, "did in", done.Value)
	l.took("submit to answer", start, soon)
	l.endsOnce(fn, ref, "in", 0)
	if text, away := log.String(), "cannot be reached"; strings.Contains(text, away) {
		// Its first beat also brings Redis the script, if nobody has yet: three round trips in three seconds.
		require.Equal(t, 1, strings.Count(text, away))
		require.Contains(t, text, "Redis is back")
	}
}

func TestConnectionsCutHalfWayThroughRepliesLoseNoCall(t *testing.T) {
	t.Parallel()
	l, fn := newLab(t), &counted{}
	way := l.way()
	var cuts atomic.Int64
	way.SetFaults(func([]string) netproxy.Fault {
		if rand.IntN(15) > 0 {
			return netproxy.Pass
		}
		cuts.Add(1)
		return netproxy.HalfReply
	})
	l.worker(way, fn.run)
	l.worker(way, fn.run)
	p, start := l.producer(way), time.Now()
	healed := time.AfterFunc(5*time.Second, func() { way.SetFaults(nil) })
	defer healed.Stop()
	var callers sync.WaitGroup
	var calls atomic.Int64
	for caller := range 8 {
		callers.Go(func() {
			for n := 0; time.Since(start) < 5*time.Second; n++ {
				in := fmt.Sprintf("%d.%d", caller, n)
				l.callThroughCuts(p, in)
				calls.Add(1)
			}
		})
	}
	callers.Wait()
	l.took("start to the last answer", start, testkit.Within(10*time.Second))
	t.Logf("%d cuts, %d calls", cuts.Load(), calls.Load())
	l.ranOnce(fn, calls.Load())
}

// callThroughCuts makes a call until it is answered: more cuts in a row than the client bridges are its caller's to see.
func (l *lab) callThroughCuts(p *producer.Producer, in string) {
	for {
		res, err := producer.Call(l.Context(), p, l.work, in)
		if err == nil && res.IsComplete {
			if res.Value != "did "+in {
				l.Errorf("%s was answered %q", in, res.Value)
			}
			return
		}
		if failure := new(refcache.TaskError); errors.As(err, &failure) || l.Context().Err() != nil {
			l.Errorf("%s: %v", in, err)
			return
		}
	}
}

// ranOnce checks that so many calls are on record, each complete after one execution and no retry.
func (l *lab) ranOnce(fn *counted, calls int64) {
	l.Helper()
	lost := 0
	for info, err := range l.admin().List(l.Context(), admin.Filter{Queue: l.work.Queue}) {
		require.NoError(l, err)
		require.Equal(l, refcache.Complete, info.Status)
		require.Zero(l, info.RetryCount)
		lost += info.LostCount
		calls--
	}
	require.Zero(l, calls)
	fn.mu.Lock()
	defer fn.mu.Unlock()
	for in, runs := range fn.runs {
		require.Equal(l, 1, runs, in)
	}
	l.Logf("%d claims were lost on the way", lost)
}
