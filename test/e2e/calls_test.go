//go:build unix

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func TestACallRunsOnceAndIsThenAnsweredFromItsRecord(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	s := newSite(t, nil)
	s.worker()
	call := s.call(`{"b": 1.0, "a": "x"}`)
	command := s.next()
	require.Equal(t, `{"a":"x","b":1}`, command.Stdin)
	require.Contains(t, command.Env, "REFQ_ATTEMPT=1")
	command.succeed(`{"n": 1}`)
	made := call.answer(0)
	require.JSONEq(t, `{"n":1}`, string(made.Value))
	require.Equal(t, command.ref(), made.RefID)

	again := s.call(`{"a": "x", "b": 1}`).answer(0)
	require.Equal(t, made, again)
	require.EqualValues(t, 1, s.commands.Load())
	require.Equal(t, `{"n": 1}`+"\n", s.refq("result", string(made.RefID)).stdout.String())
}

func TestACallIsPendingUntilAWorkerComes(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	s := newSite(t, nil)
	ref := s.submit(`{}`)
	waiter := s.wait(ref)
	require.Equal(t, refcache.Pending, s.info(ref).Status)
	s.worker()
	s.next().succeed(`"done"`)
	require.Equal(t, `"done"`, string(waiter.answer(0).Value))
}

func TestAGoProducerCallsWhatACommandServes(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	s := newSite(t, nil)
	s.worker()
	p, f := s.producer(), declared(s.queue)
	ref, err := producer.Submit(t.Context(), p, f, words{[]string{"to", "be"}})
	require.NoError(t, err)
	command := s.next()
	require.JSONEq(t, `{"Words":["to","be"]}`, command.Stdin)

	command.do(order{Stderr: "refq-progress: 1/4 reading\n"})
	require.Eventually(t, func() bool {
		res, err := producer.Get(t.Context(), p, f, ref)
		return err == nil && res.Progress != nil && res.Progress.Current == 1 && res.Progress.Message == "reading"
	}, soon, 10*time.Millisecond)

	command.succeed(`{"Count":2}`)
	done, err := producer.Wait(t.Context(), p, f, ref)
	require.NoError(t, err)
	require.Equal(t, counts{2}, done.Value)
	require.JSONEq(t, `{"Count":2}`, string(s.call(`{"Words":["to","be"]}`).answer(0).Value), "the command line makes the same call")
}

func TestATimeoutEndsTheCommandAndFailsTheCall(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	s := newSite(t, keys{"timeout": "15s", "max_retries": 0} /* in which a command begins, on a busy machine, too */)
	s.worker()
	call := s.call("{}")
	s.next().isGone()
	made := call.answer(4)
	require.Equal(t, "timed out after 15s", *made.Error)
	require.Equal(t, refcache.CauseTimeout, s.info(made.RefID).RetryHistory[0].Cause)
}

func TestACancelledCallLeavesNoProcess(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 5)
	s := newSite(t, nil)
	s.worker()
	call := s.call("{}")
	command := s.next()
	command.do(order{Child: true})
	child := s.nextIn("child")

	ref := command.ref()
	require.Zero(t, s.refq("cancel", string(ref)).exitCode())
	require.Equal(t, refcache.Cancelled, call.answer(5).Status)
	command.isGone()
	child.isGone()
	info := s.info(ref)
	require.Equal(t, refcache.CauseCancelled, info.RetryHistory[0].Cause)
	require.Equal(t, refcache.EventCancel, info.Events[0].Kind)
	require.EqualValues(t, 1, s.commands.Load())
}
