//go:build unix

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

// gatedSite is a site whose function has a gate: of a host one call runs at a time.
func gatedSite(t *testing.T) *site {
	t.Helper()
	return newSiteAt(t, sharedRedis(t), keys{"gate": "sites", "turn": keys{"key": "/host"}}, keys{"gates": keys{"sites": keys{"each": 1}}})
}

// A worker is killed while its call holds the only permit of a host: the call itself goes on with it, and nothing else runs meanwhile.
func TestThePermitOfAKilledWorkerStaysWithItsCall(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	s := gatedSite(t)
	victim := s.worker()
	first := s.call(`{"host":"a","n":1}`)
	running := s.next()
	second := s.submit(`{"host":"a","n":2}`)
	require.Equal(t, refcache.Waiting, s.info(second).Status)
	other := s.call(`{"host":"b"}`)
	s.next().succeed("0")
	other.answer(0)
	s.worker()

	victim.kill()
	killed := time.Now()
	again := s.next()
	took := time.Since(killed)
	t.Logf("kill to second start: %v", took.Round(time.Millisecond))
	require.LessOrEqual(t, took, testkit.Within(10*time.Second))
	running.isGone()
	require.Equal(t, refcache.Waiting, s.info(second).Status)
	again.succeed("1")
	first.answer(0)
	s.next().succeed("2")
	s.wait(second).answer(0)
}

// What a function says is unavailable closes its host, costs no retry, and holds up no other host.
func TestAnUnavailableHostHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	s := gatedSite(t)
	s.worker()
	call := s.call(`{"host":"a"}`)
	s.next().fail(1, "refq-unavailable: 1s")
	other := s.call(`{"host":"b"}`)
	s.next().succeed("2")
	other.answer(0)
	s.next().succeed("1")
	made := call.answer(0)
	require.Zero(t, made.RetryCount)
	info := s.info(made.RefID)
	require.Equal(t, 1, info.Attempt)
	require.Len(t, info.Events, 1)
	require.Equal(t, refcache.EventUnavailable, info.Events[0].Kind)
}
