package refcache_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
)

// gated is a function with a gate.
func gated(g refcache.Gate) fn {
	g.Name = "maps"
	return fn{Name: "f", Gate: g}
}

func TestARateFillsInWhatItNeeds(t *testing.T) {
	for _, c := range []struct{ gate, want refcache.Gate }{
		{refcache.Gate{}, refcache.Gate{}},
		{refcache.Gate{Each: 5, MostWaiting: 3}, refcache.Gate{Each: 5, MostWaiting: 3}},
		{refcache.Gate{Rate: refcache.Rate{N: 20}}, refcache.Gate{All: refcache.Slots, Rate: refcache.Rate{N: 20, Per: time.Second, Burst: 1}}},
		{refcache.Gate{All: 7, Rate: refcache.Rate{N: 10_000}}, refcache.Gate{All: 7, Rate: refcache.Rate{N: 10_000, Per: time.Second, Burst: 100}}},
		{refcache.Gate{Rate: refcache.Rate{N: 6, Per: time.Hour, Burst: 6}},
			refcache.Gate{All: refcache.Slots, Rate: refcache.Rate{N: 6, Per: time.Hour, Burst: 6}}},
	} {
		p, err := gated(c.gate).Policy()
		require.NoError(t, err)
		c.want.Name = "maps"
		require.Equal(t, c.want, p.Gate)
		again, err := fn{Name: "f", Gate: p.Gate}.Policy()
		require.NoError(t, err)
		require.Equal(t, p.Gate, again.Gate, "filled in, it stays")
	}
}

func TestTheIntervalOfARateIsNeverShorter(t *testing.T) {
	for want, r := range map[time.Duration]refcache.Rate{
		0:                      {},
		50 * time.Millisecond:  {N: 20, Per: time.Second},
		333_334_000:            {N: 3, Per: time.Second},
		100 * time.Microsecond: {N: 10_000, Per: time.Second},
		365 * 24 * time.Hour:   {N: 1, Per: 365 * 24 * time.Hour},
	} {
		require.Equal(t, want, r.Interval())
	}
}

func TestBadGatesAreRefusedByFieldAndValue(t *testing.T) {
	turn := func(int) refcache.Turn { return refcache.Turn{} }
	for want, f := range map[string]fn{
		`function f: gate "a/b": use letters`:                                      {Name: "f", Gate: refcache.Gate{Name: "a/b"}},
		`function f: gate "": use letters`:                                         {Name: "f", Gate: refcache.Gate{Each: 1}},
		`function f: gate maps: each is -1, must be 0 or more`:                     gated(refcache.Gate{Each: -1}),
		`gate maps: all is -2, must be 0 (no limit) or more, or -1 for slots`:      gated(refcache.Gate{All: -2}),
		`gate maps: rate is -1, must be 0 or more`:                                 gated(refcache.Gate{Rate: refcache.Rate{N: -1}}),
		`gate maps: burst is -1, must be 0 or more`:                                gated(refcache.Gate{Rate: refcache.Rate{N: 1, Burst: -1}}),
		`gate maps: most_waiting is -5, must be 0 or more`:                         gated(refcache.Gate{MostWaiting: -5}),
		`gate maps: most_waiting is 1000000001, must be at most 1000000000`:        gated(refcache.Gate{MostWaiting: 1_000_000_001}),
		`gate maps: rate is 9223372036854775807, must be at most`:                  gated(refcache.Gate{Rate: refcache.Rate{N: math.MaxInt}}),
		`gate maps: burst is 20, must stand beside a rate`:                         gated(refcache.Gate{Rate: refcache.Rate{Burst: 20}}),
		`gate maps: rate is 0 in 1s, must be at least 1`:                           gated(refcache.Gate{Rate: refcache.Rate{Per: time.Second}}),
		`gate maps: rate is 2 in -1s, must be in more than 0 and at most 365 days`: gated(refcache.Gate{Rate: refcache.Rate{N: 2, Per: -time.Second}}),
		`gate maps: rate is 2 in 8784h0m0s, must be in more than 0 and`:            gated(refcache.Gate{Rate: refcache.Rate{N: 2, Per: 366 * 24 * time.Hour}}),
		`gate maps: rate is 10001 in 1s, must be at most 10000 in 1s`:              gated(refcache.Gate{Rate: refcache.Rate{N: 10_001}}),
		`gate maps: rate is 11 in 1ms, must be at most 10000 in 1s`:                gated(refcache.Gate{Rate: refcache.Rate{N: 11, Per: time.Millisecond}}),
		`gate maps: burst is 101, more than the rate brings in 100 years`:          gated(refcache.Gate{Rate: refcache.Rate{N: 1, Per: 365 * 24 * time.Hour, Burst: 101}}),
		`function f: turn is set, must stand beside a gate`:                        {Name: "f", Turn: turn},
		`f: turn is set, must stand beside a gate`:                                 {Name: "f", TurnFields: refcache.TurnFields{Key: []string{"/a"}}},
		`function f: turn and turn_fields are both set`:                            {Name: "f", Gate: refcache.Gate{Name: "g"}, Turn: turn, TurnFields: refcache.TurnFields{Ahead: 1}},
		`function f: turn.key is "host", must be JSON Pointers like /url`:          {Name: "f", Gate: refcache.Gate{Name: "g"}, TurnFields: refcache.TurnFields{Key: []string{"host"}}},
		`function f: turn.share has "/a" twice`:                                    {Name: "f", Gate: refcache.Gate{Name: "g"}, TurnFields: refcache.TurnFields{Share: []string{"/a", "/a"}}},
		`function f: turn.ahead is 24h0m0.000000001s, must be 0 to 24h0m0s`:        {Name: "f", Gate: refcache.Gate{Name: "g"}, TurnFields: refcache.TurnFields{Ahead: 24*time.Hour + 1}},
		`function f: turn.ahead is -1ns, must be 0 to`:                             {Name: "f", Gate: refcache.Gate{Name: "g"}, TurnFields: refcache.TurnFields{Ahead: -1}},
	} {
		_, err := f.Policy()
		require.ErrorContains(t, err, want)
	}
}

func TestTurnsHaveAHeadStartOfADayAtMost(t *testing.T) {
	require.NoError(t, refcache.Turn{Key: "any /text\x00", Ahead: 24 * time.Hour}.Check())
	require.EqualError(t, refcache.Turn{Ahead: 25 * time.Hour}.Check(), "ahead is 25h0m0s, must be 0 to 24h0m0s")
	require.Error(t, refcache.Turn{Ahead: -1}.Check())
}
