//go:build unix

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/netproxy"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func TestTheCallOfAKilledWorkerRunsElsewhereAndCostsNoRetry(t *testing.T) {
	t.Parallel()
	s := newSite(t, keys{"max_retries": 1})
	victim := s.worker()
	call := s.call("{}")
	first := s.next()
	s.worker()

	victim.kill()
	killed := time.Now()
	second := s.next()
	took := time.Since(killed)
	t.Logf("kill to second start: %v", took.Round(time.Millisecond))
	require.LessOrEqual(t, took, 10*time.Second)
	first.isGone()
	second.succeed("1")

	made := call.answer(0)
	require.Zero(t, made.RetryCount)
	info := s.info(made.RefID)
	require.Equal(t, 1, info.LostCount)
	require.Len(t, info.RetryHistory, 1)
	require.Equal(t, refcache.CauseLost, info.RetryHistory[0].Cause)
	require.Len(t, info.Events, 1)
	require.Equal(t, refcache.EventRedelivered, info.Events[0].Kind)
}

// The producer dies when its call is on record and asynq does not yet know of it.
func TestTheCallOfAKilledProducerRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.worker()
	p := s.producer()
	proxy, silent := newProxy(t, s.redis), make(chan bool, 1)
	proxy.SetFaults(func(cmd []string) netproxy.Fault {
		if !strings.Contains(strings.Join(cmd, " "), "asynq:") {
			return netproxy.Pass
		}
		select {
		case silent <- true:
		default: // it tries again
		}
		return netproxy.Stall
	})
	caller := s.start("call", "f", "{}", "--redis", "redis://"+proxy.Addr())
	await(t, "the producer turns to asynq", silent)
	caller.kill()

	ref := only(t, p, s.queue)
	require.Equal(t, refcache.Pending, s.info(ref).Status)
	s.next().succeed("1")
	require.Equal(t, "1", string(s.wait(ref).answer(0).Value))
}

// only is the ref_id of the only call in a queue.
func only(t *testing.T, p *producer.Producer, queue string) refcache.Ref {
	t.Helper()
	var refs []refcache.Ref
	for info, err := range p.List(t.Context(), producer.Filter{Queue: queue}) {
		require.NoError(t, err)
		refs = append(refs, info.RefID)
	}
	require.Len(t, refs, 1)
	return refs[0]
}
