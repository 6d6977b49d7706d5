//go:build unix

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// The buttons of asynq's web UI, and a hand that deletes all that asynq has, key by key.
func TestCallsRunWhateverIsPressedInAsynqsTools(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 9)
	s := newSiteAt(t, "redis://"+testkit.New(t).Addr, keys{"retry_delay": "4s", "retry_jitter": 0}, nil)
	rdb := connect(t, s.redis)
	tools := asynq.NewInspectorFromRedisClient(rdb)
	for name, press := range map[string]func(id string) error{
		"archive":      func(id string) error { return tools.ArchiveTask(s.queue, id) },
		"delete":       func(id string) error { return tools.DeleteTask(s.queue, id) },
		"delete all":   func(string) error { return second(tools.DeleteAllPendingTasks(s.queue)) },
		"archive all":  func(string) error { return second(tools.ArchiveAllPendingTasks(s.queue)) },
		"delete queue": func(string) error { return tools.DeleteQueue(s.queue, true) },
		"delete keys":  func(string) error { return deleteOneByOne(t, rdb) },
	} {
		ref := s.submit(fmt.Sprintf("%q", name))
		require.NoError(t, press(string(ref)), name)
	}
	w := s.worker()
	pressed := time.Now()
	var retried *actor
	for range 6 {
		if c := s.next(); c.Stdin == `"delete"` {
			c.fail(1, "")
			retried = c
		} else {
			c.succeed("1")
		}
	}
	t.Logf("all ran %v after the worker came", time.Since(pressed).Round(time.Millisecond))
	require.Less(t, time.Since(pressed), testkit.Within(10*time.Second))
	require.Eventually(t, func() bool { return tools.DeleteTask(s.queue, s.delivered(retried.ref())) == nil }, soon, 10*time.Millisecond)
	due := *s.info(retried.ref()).NextRetryAt
	again := s.next()
	require.Equal(t, retried.Stdin, again.Stdin)
	again.succeed("1")
	info := s.info(retried.ref())
	require.False(t, info.StartedAt.Before(due), "early")
	require.Less(t, info.StartedAt.Sub(due), testkit.Within(10*time.Second))
	t.Logf("retried %v after it was due", info.StartedAt.Sub(due).Round(time.Millisecond))
	require.Equal(t, 1, info.RetryCount)
	require.EqualValues(t, 7, s.commands.Load())
	require.Contains(t, w.stderr.String(), "tasks had no doorbell, rang")
}

func second[T any](_ T, err error) error { return err }

// delivered is the id of a task's doorbell that waits for a retry.
func (s *site) delivered(ref refcache.Ref) string {
	found, _ := asynq.NewInspectorFromRedisClient(connect(s.t, s.redis)).ListRetryTasks(s.queue)
	i := slices.IndexFunc(found, func(d *asynq.TaskInfo) bool { return string(d.Payload) == string(ref) })
	if i < 0 {
		return ""
	}
	return found[i].ID
}

func deleteOneByOne(t *testing.T, rdb redis.UniversalClient) error {
	for _, key := range rdb.Keys(t.Context(), "asynq:*").Val() {
		if err := rdb.Del(t.Context(), key).Err(); err != nil {
			return err
		}
	}
	return nil
}

// A flush takes the calls in flight with it. Their waiters are told, later calls run, and nothing has to be restarted.
func TestAFlushEndsWaitingAndNothingElse(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 6)
	s := newSiteAt(t, "redis://"+testkit.New(t).Addr, nil, nil)
	s.worker()
	rdb, p, f := connect(t, s.redis), s.producer(), declared(s.queue)
	call := s.call(`"runs"`)
	command := s.next()
	waited := make(chan error, 1)
	go func() { waited <- second(producer.Call(t.Context(), p, f, words{[]string{"waits"}})) }()
	other := s.next()
	require.Eventually(t, func() bool { // both wait
		return waiters(t, rdb, s.record(command)) != "" && waiters(t, rdb, s.record(other)) != ""
	}, soon, 10*time.Millisecond)

	require.NoError(t, rdb.FlushAll(t.Context()).Err())
	require.NotZero(t, call.exitCode())
	require.Contains(t, call.stderr.String(), "it was deleted or lost meanwhile")
	require.ErrorIs(t, await(t, "the waiter is told", waited), refcache.ErrTaskNotFound)
	command.isGone() // nobody wants its result
	other.isGone()

	again := s.call(`"runs"`)
	s.next().succeed("1")
	made := again.answer(0)
	res, err := producer.Submit(t.Context(), p, f, words{[]string{"waits"}})
	require.NoError(t, err)
	s.next().succeed(`{"Count":1}`)
	done, err := producer.Wait(t.Context(), p, f, res)
	require.NoError(t, err)
	require.Equal(t, counts{1}, done.Value)
	listed := s.refq("ls")
	require.Zero(t, listed.exitCode())
	require.Contains(t, listed.stdout.String(), string(made.RefID))
}

// record is the key of the record that a command runs for.
func (s *site) record(c *actor) string { return "refq:{" + s.queue + "}:t:" + c.ref().Hash() }
