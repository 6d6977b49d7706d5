//go:build unix

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

func TestAFailedAttemptIsRetriedNeverTooEarly(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	s := newSite(t, keys{"retry_delay": "1s", "retry_jitter": 0})
	s.worker()
	call := s.call("{}")
	s.next().fail(1, "the disk is on fire\n")
	second := s.next()
	require.Contains(t, second.Env, "REFQ_ATTEMPT=2")
	second.succeed(`"put out"`)

	made := call.answer(0)
	require.Equal(t, `"put out"`, string(made.Value))
	require.Equal(t, 1, made.RetryCount)
	info := s.info(made.RefID)
	require.Len(t, info.RetryHistory, 1)
	failed := info.RetryHistory[0]
	require.Equal(t, "exit status 1: the disk is on fire", failed.Error)
	require.Equal(t, time.Second, failed.Delay)
	require.False(t, info.StartedAt.Before(failed.Timestamp.Add(failed.Delay)), "retried too early")
	t.Logf("retried %v after it was due", info.StartedAt.Sub(failed.Timestamp.Add(failed.Delay)))
}

func TestAnExhaustedCallIsRetriedByHandOnlyWithAFreshBudget(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	s := newSite(t, keys{"max_retries": 1, "retry_delay": 0})
	s.worker()
	call := s.call("{}")
	s.next().fail(1, "")
	s.next().fail(2, "")
	made := call.answer(4)
	require.True(t, made.Exhausted)
	require.False(t, made.CanRetry)
	require.Equal(t, "exit status 2", *made.Error)

	refused := s.refq("retry", string(made.RefID))
	require.Equal(t, 1, refused.exitCode())
	require.Contains(t, refused.stderr.String(), "--fresh")
	require.Equal(t, made, s.wait(made.RefID).answer(4), "a refused retry changes nothing")

	retry := s.start("retry", "--fresh", "--wait", "60s", "-o", "json", string(made.RefID))
	s.next().fail(3, "")
	s.next().succeed("4")
	require.Equal(t, "4", string(retry.answer(0).Value))
	info := s.info(made.RefID)
	require.Equal(t, 2, info.Cycle)
	require.Equal(t, refcache.EventFresh, info.Events[0].Kind)
	var errors []string
	for _, a := range info.RetryHistory {
		errors = append(errors, a.Error)
	}
	require.Equal(t, []string{"exit status 1", "exit status 2", "exit status 3"}, errors)
}

func TestAPermanentFailureLeavesRetriesForPeople(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	s := newSite(t, nil)
	s.worker()
	call := s.call("{}")
	s.next().fail(65, "")
	made := call.answer(4)
	require.True(t, made.CanRetry)
	require.Zero(t, s.refq("retry", string(made.RefID)).exitCode())
	s.next().succeed("1")
	require.Equal(t, 1, s.wait(made.RefID).answer(0).RetryCount)
}
