//go:build unix

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

// A pause starts nothing that is called later, whatever sweeps and heartbeats come by; that of a gate, a key or a queue starts
// nothing from its answer on. What it held up starts when it ends, by that alone: the worker's clock stands still.
func TestAPauseHoldsCallsUpAndItsEndStartsThem(t *testing.T) {
	key := "a"
	for name, c := range map[string]struct {
		target func(f refcache.Func[string, string]) admin.Target
		gate   refcache.Gate
		exact  bool // nothing starts after its answer
	}{
		"function": {func(f refcache.Func[string, string]) admin.Target { return admin.Target{Func: f.Name} }, refcache.Gate{}, false},
		"queue":    {func(f refcache.Func[string, string]) admin.Target { return admin.Target{Queue: f.Queue} }, refcache.Gate{}, true},
		"gate": {func(f refcache.Func[string, string]) admin.Target { return admin.Target{Queue: f.Queue, Gate: "sites"} },
			refcache.Gate{Name: "sites", All: 10}, true},
		"key": {func(f refcache.Func[string, string]) admin.Target {
			return admin.Target{Queue: f.Queue, Gate: "sites", Key: &key}
		}, refcache.Gate{Name: "sites", Each: 10}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, fn := newLab(t), &counted{}
			l.work.Name = l.work.Queue // others pause a function in all queues of this Redis
			l.work.Gate, l.work.Turn = c.gate, nil
			if c.gate.Name != "" {
				l.work.Turn = func(string) refcache.Turn { return refcache.Turn{Key: key} }
			}
			p := &pausing{lab: l, target: c.target(l.work), client: l.clockless()}
			l.starts(p.client, 4, handles(l.work, fn.run))
			l.becomes(l.submit(l.p, "first"), refcache.Complete) // so that Redis knows of the queue, and the worker of the gate
			for n := range testkit.Rounds(5) {
				p.round(n, c.exact)
			}
			for in, runs := range fn.runs {
				require.Equal(t, 1, runs, in)
			}
		})
	}
}

// pausing is a function that is paused and resumed, one time after the other.
type pausing struct {
	*lab
	target admin.Target
	client *clockless
}

const callsOfARound = 100

func (p *pausing) submit(what string, n int) []refcache.Ref {
	p.Helper()
	return submitAll(p.lab, p.work, numbered(fmt.Sprint(what, n, "-"), callsOfARound))
}

func (p *pausing) round(n int, exact bool) {
	p.Helper()
	ctx, a := p.Context(), p.admin()
	p.client.setClock(true)
	all := p.submit("under way", n)
	noted, err := a.Pause(ctx, p.target, admin.PauseTerms{})
	require.NoError(p, err)
	all = append(all, p.submit("early", n)...)

	beats := p.client.sent("heartbeat")
	p.until("it has beaten twice", func() bool { return p.client.sent("heartbeat") >= beats+2 })
	late := p.submit("late", n)
	sweeps := p.client.sent("sweep")
	p.until("it has swept", func() bool { return p.client.sent("sweep") > sweeps })
	var last time.Duration // after the pause was noted, by Redis's clock
	held := late
	for _, ref := range all {
		if info := p.info(ref); info.StartedAt == nil {
			held = append(held, ref)
		} else {
			last = max(last, info.StartedAt.Sub(*noted.At))
		}
	}
	if exact {
		require.Zero(p, last, "the last start after the pause")
	}
	for _, ref := range late {
		info := p.info(ref)
		require.Nil(p, info.StartedAt)
		require.Zero(p, info.EventsTotal, "nobody handed it back")
	}

	p.client.setClock(false)
	before := p.now()
	start := time.Now()
	was, err := a.Resume(ctx, p.target)
	require.NoError(p, err)
	require.True(p, was)
	answered := time.Since(start)
	first := time.Hour
	for _, ref := range held {
		first = min(first, p.becomes(ref, refcache.Complete).StartedAt.Sub(before))
	}
	p.Logf("last start %v after the pause; first of %d starts %v after its end was asked for, which took %v", last, len(held), first,
		answered.Round(time.Millisecond))
}

// now is the time by Redis's clock, in whole milliseconds, as records have it.
func (l *lab) now() time.Time {
	return l.rdb.Time(context.Background()).Val().Truncate(time.Millisecond)
}
