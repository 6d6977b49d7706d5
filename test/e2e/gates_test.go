//go:build unix

package e2e

import (
	"context"
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"strings"
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

// inTurn is the lab's function behind a gate, with a key for each word before a blank.
func (l *lab) inTurn(g refcache.Gate) refcache.Func[string, string] {
	g.Name = "sites"
	l.work.Gate = g
	l.work.Turn = func(in string) refcache.Turn { return refcache.Turn{Key: strings.Fields(in)[0]} }
	return l.work
}

// visits are arguments, of so many keys in turn.
func visits(from, to, keys int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for n := from; n < to; n++ {
			if !yield(fmt.Sprintf("host%d %d", n%keys, n)) {
				return
			}
		}
	}
}

// turnstile is a function each of whose calls ends when one is let through.
type turnstile chan bool

func (s turnstile) run(ctx context.Context, _ string) (string, error) {
	select {
	case <-s:
		return "", nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// Who knows the function is busy, and an idle worker beside it does not know it. That one gets to see what has been let in, and must
// not draw all that waits out of its line.
func TestOfWaitingCallsNoMoreAreSetAsideThanMayRun(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	const all, slots = 8, 2
	l, n, through := newLab(t), testkit.Rounds(10_000), make(turnstile)
	f, other := l.inTurn(refcache.Gate{All: all}), l.work
	other.Name, other.Gate, other.Turn = "other", refcache.Gate{}, nil
	l.starts(connect(t, l.redis), slots, handles(f, through.run))
	l.until("one knows the function", func() bool { return l.size("knows:work@1") == 1 })
	l.starts(connect(t, l.redis), 4, handles(other, says("other")))
	submitAll(l, f, visits(0, n, 100))
	l.until("those that do not run are set aside", func() bool { return l.size("aside:work@1") == all-slots })
	require.Equal(t, n-all, l.size("waiting"))
	for range 200 {
		select {
		case through <- true:
		case <-time.After(soon):
			require.Fail(t, "nothing runs")
		}
		require.LessOrEqual(t, l.size("aside:work@1"), all)
		require.LessOrEqual(t, l.size("gate:sites:held"), all)
	}
	l.until("as many are let in as have ended", func() bool { return l.size("waiting") == n-all-200 })
	require.LessOrEqual(t, l.size("aside:work@1"), all)
}

// However many calls wait in a gate that has no room: what Redis does is what beats and sweeps do, and that is as much.
func TestWaitingCallsCostBeatsAndSweepsAndNoMore(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	l := newLabAt(t, "redis://"+testkit.New(t, "--save", "").Addr)
	f, client, n := l.inTurn(refcache.Gate{All: 1}), l.clockless(), testkit.Rounds(100_000)
	l.starts(client, 1, handles(f, make(turnstile).run))
	const few = 1000 // more than a sweep walks
	submitAll(l, f, visits(0, few, few))
	least := l.commandsOfSweeps(client, few)
	submitAll(l, f, visits(few, n, few))
	most := l.commandsOfSweeps(client, n)
	t.Logf("in %d sweeps: %d commands while %d calls wait, %d while %d do", sweepsWatched, least, few-1, most, n-1)
	require.LessOrEqual(t, most, 2*least, "a sweep more or less may be among them")
}

const sweepsWatched = 3

// commandsOfSweeps counts what Redis does in a few sweeps, while all calls but one wait.
func (l *lab) commandsOfSweeps(client *clockless, calls int) int {
	l.Helper()
	l.until("all but one wait", func() bool { return l.size("waiting") == calls-1 && l.size("pending") == 0 })
	sweeps := client.sent("sweep_gates")
	await := func(more int) {
		l.until("it sweeps", func() bool { return client.sent("sweep_gates") >= sweeps+more })
	}
	await(1) // and what the calls have begun is over
	sent, did := client.all(), l.commands()
	await(1 + sweepsWatched)
	did = l.commands() - did
	for name, count := range client.all() {
		if count > sent[name] {
			require.Contains(l, []string{"heartbeat", "sweep", "sweep_gates", "declare", "declared", "idle", "count", asynqs}, name)
		}
	}
	return did
}

// commands is how many commands the lab's Redis has run.
func (l *lab) commands() (n int) {
	l.Helper()
	for _, calls := range regexp.MustCompile(`:calls=(\d+)`).FindAllStringSubmatch(l.rdb.Info(l.Context(), "commandstats").Val(), -1) {
		count, err := strconv.Atoi(calls[1])
		require.NoError(l, err)
		n += count
	}
	return n
}
