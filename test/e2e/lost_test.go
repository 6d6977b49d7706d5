//go:build unix

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/netproxy"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// Each test here loses one write between Redis and those who use it. What is lost between scripts of one process stands
// with the worker's tests; these show it on a real Redis with asynq's own clock.

// endsOnce checks what is on record of a call that ran once, and that nothing is left that could change it.
func (l *lab) endsOnce(fn *counted, ref refcache.Ref, in string, lost int) {
	l.Helper()
	done := l.becomes(ref, refcache.Complete)
	l.silent()
	info := l.info(ref)
	require.Equal(l, done, info)
	require.Equal(l, 1, fn.count(in))
	require.Zero(l, info.RetryCount)
	require.Equal(l, lost, info.LostCount)
	require.Equal(l, lost, info.AttemptsTotal)
	require.Equal(l, l.cycle, info.Cycle)
	res, err := producer.Get(l.Context(), l.p, l.work, ref)
	require.NoError(l, err)
	require.Equal(l, "did "+in, res.Value)
}

func (l *lab) took(what string, start time.Time, most time.Duration) {
	l.Helper()
	took := time.Since(start)
	l.Logf("%s: %v", what, took.Round(time.Millisecond))
	require.LessOrEqual(l, took, most)
}

func TestEnqueueWhoseReplyIsLostRingsOnce(t *testing.T) {
	t.Parallel()
	l, fn := newLab(t), &counted{}
	l.cancelled("in")
	way := l.way()
	sent := l.loses(way, 1, "enqueue", netproxy.DropReply)
	l.worker(nil, fn.run)
	l.until("the first doorbell is answered", func() bool { return l.doorbells("pending")+l.doorbells("active") == 0 })
	start := time.Now()
	res, err := producer.Call(t.Context(), l.producer(way), l.work, "in")
	require.NoError(t, err)
	require.Equal(t, "did in", res.Value)
	require.GreaterOrEqual(t, sent.Load(), int64(2), "the client sent it again; on a slow machine a sweep rings, too")
	l.took("submit to answer", start, soon)
	l.endsOnce(fn, res.RefID, "in", 0)
}

// asynq has handed the doorbell to nobody. It would give up on it 30 s after the last sign of life, at its next look: each
// minute, and when a worker starts.
func TestDequeueWhoseReplyIsLostIsMadeUpForByASweep(t *testing.T) {
	t.Parallel()
	l, fn := newLab(t), &counted{}
	way := l.way()
	l.loses(way, 1, "dequeue_and_claim", netproxy.DropReply)
	start := time.Now()
	ref := l.submit(l.p, "in")
	// A task with a note is not claimed with its doorbell.
	require.NoError(t, l.rdb.HSet(t.Context(), "refq:{"+ref.Queue()+"}:t:"+ref.Hash(), "note", "a note").Err())
	l.worker(way, fn.run)
	l.until("the doorbell is taken", func() bool { return l.doorbells("active") == 1 })
	require.Equal(t, refcache.Pending, l.info(ref).Status)
	l.becomes(ref, refcache.Complete)
	l.took("submit to end", start, testkit.Within(10*time.Second))
	require.Equal(t, 1, fn.count("in"))

	l.ages(ref) // the old doorbell rings after all, and finds everything done
	l.worker(nil, fn.run)
	l.endsOnce(fn, ref, "in", 0)
}

// A claim is sent once. What its worker does not know of, its next beat finds.
func TestClaimWhoseReplyIsLostCostsNoRetry(t *testing.T) {
	t.Parallel()
	l, fn := newLab(t), &counted{}
	way := l.way()
	l.loses(way, 1, "dequeue_and_claim", netproxy.DropReply) // a first attempt is claimed in the same step
	start := time.Now()
	ref := l.submit(l.p, "in")
	l.worker(way, fn.run)
	info := l.becomes(ref, refcache.Complete)
	l.took("submit to end", start, soon)
	require.Equal(t, refcache.CauseLost, info.RetryHistory[0].Cause)

	l.ages(ref) // the old doorbell, which reached nobody, rings after all, and finds everything done
	l.worker(nil, fn.run)
	l.endsOnce(fn, ref, "in", 1)
}

// asynq sends an answer that did not arrive again, for as long as its lease lasts.
func TestAnswerToAsynqThatDoesNotArriveIsRepeated(t *testing.T) {
	t.Parallel()
	l, fn := newLab(t), &counted{}
	way := l.way()
	acks := l.loses(way, 6, "ack", netproxy.DropRequest) // all that the client tries
	l.worker(way, fn.run)
	ref := l.submit(l.p, "in")
	l.becomes(ref, refcache.Complete)
	require.NotZero(t, l.doorbells("active"), "on a slow machine a sweep has rung a second one")
	l.until("the client gives up", func() bool { return acks.Load() == 6 })
	start := time.Now()
	l.until("asynq is answered", func() bool { return l.doorbells("active") == 0 })
	l.took("last try of the client to the answer", start, testkit.Within(10*time.Second))
	require.GreaterOrEqual(t, acks.Load(), int64(7))
	l.endsOnce(fn, ref, "in", 0)
}
