//go:build unix

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

// The master dies, and with it what it had accepted but not passed on: a submit, a claim, and the ends of two attempts.
func TestAFailoverLosesLastWritesAndEndsEveryCall(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 12)
	r := newReplicated(t)
	s := newSiteAt(t, r.url, keys{"retry_delay": "60s"}, nil)
	s.worker()
	calls, commands := map[string]*process{}, map[string]*actor{}
	for _, name := range []string{`"runs"`, `"ends"`, `"fails"`} {
		calls[name] = s.call(name)
		commands[name] = s.next()
		require.Equal(t, name, commands[name].Stdin)
	}
	r.catchUp()
	r.cutOff()
	commands[`"ends"`].succeed("1")
	ended := calls[`"ends"`].answer(0)
	commands[`"fails"`].fail(1, "")
	vanished := s.submit(`"vanishes"`)
	commands[`"vanishes"`] = s.next()
	waiter := s.wait(vanished)
	record, master := "refq:{"+s.queue+"}:t:"+vanished.Hash(), r.ask(r.master)
	require.Eventually(t, func() bool { return waiters(t, master, record) != "" }, soon, 10*time.Millisecond)
	require.Eventually(t, func() bool { return s.info(commands[`"fails"`].ref()).RetryCount == 1 }, soon, 10*time.Millisecond)

	r.master.Kill()
	killed := time.Now()
	r.until(r.replica, "role:master")
	promoted := time.Now()
	t.Logf("promoted %v after the death", promoted.Sub(killed).Round(time.Millisecond))

	commands[`"runs"`].succeed("2")
	ran := calls[`"runs"`].answer(0)
	require.Equal(t, "2", string(ran.Value))
	require.Zero(t, s.info(ran.RefID).AttemptsTotal, "its attempt went on")

	require.NotZero(t, waiter.exitCode())
	require.Contains(t, waiter.stderr.String(), "it was deleted or lost meanwhile")
	commands[`"vanishes"`].isGone()

	for range 2 { // whose ends nobody knows of any more
		command := s.next()
		require.NotEqual(t, `"vanishes"`, command.Stdin)
		command.succeed("3")
	}
	t.Logf("all ran again %v after the promotion", time.Since(promoted).Round(time.Millisecond))
	require.Less(t, time.Since(promoted), testkit.Within(10*time.Second))
	require.Equal(t, "3", string(calls[`"fails"`].answer(0).Value))
	require.Equal(t, "3", string(s.wait(ended.RefID).answer(0).Value))
	for _, ref := range []refcache.Ref{ended.RefID, commands[`"fails"`].ref()} {
		info := s.info(ref)
		require.Equal(t, 1, info.LostCount)
		require.Zero(t, info.RetryCount)
	}

	again := s.call(`"vanishes"`)
	s.next().succeed("4")
	require.Equal(t, vanished, again.answer(0).RefID)

	r.master.Start()
	r.until(r.master, "role:slave")
	r.until(r.master, "master_link_status:up")
	last := s.call(`"last"`)
	s.next().succeed("5")
	last.answer(0)
	require.EqualValues(t, 8, s.commands.Load())
}
