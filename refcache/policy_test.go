package refcache_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/refq/refq/refcache"
)

type fn = refcache.Func[int, int]

func TestZeroMeansTheDefault(t *testing.T) {
	p, err := fn{Name: "f"}.Policy()
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(refcache.Policy{
		Name: "f", Version: 1, Queue: "default", MaxRetries: 3, RetryDelay: time.Second, BackoffFactor: 2,
		RetryMaxDelay: time.Minute, RetryJitter: 0.1, Timeout: 5 * time.Minute, AsyncTimeout: 5 * time.Second,
		TTL: 24 * time.Hour, FailureTTL: 168 * time.Hour,
		FailureAnswer: refcache.FailureAnswer{Error: time.Minute, Permanent: time.Hour, Timeout: time.Minute,
			Panic: time.Minute, Lost: 10 * time.Minute},
	}, p))
}

func TestNegativeMeansNone(t *testing.T) {
	p, err := fn{Name: "f", Timeout: -1, AsyncTimeout: -1,
		Retry: refcache.RetryPolicy{MaxRetries: refcache.NoRetries, Delay: -1, MaxDelay: -1, Jitter: -1}}.Policy()
	require.NoError(t, err)
	require.Zero(t, p.MaxRetries)
	require.Zero(t, p.RetryDelay)
	require.Zero(t, p.RetryMaxDelay)
	require.Zero(t, p.RetryJitter)
	require.Zero(t, p.Timeout)
	require.Zero(t, p.AsyncTimeout)
}

func TestPartsOfAMillisecondAreRoundedUp(t *testing.T) {
	p, err := fn{Name: "f", Timeout: time.Millisecond + 1, TTL: time.Second + 1}.Policy()
	require.NoError(t, err)
	require.Equal(t, 2*time.Millisecond, p.Timeout)
	require.Equal(t, time.Second+time.Millisecond, p.TTL)
}

func TestBadDeclarationsAreRefusedByFieldAndValue(t *testing.T) {
	for want, f := range map[string]fn{
		`function: name ""`:                  {},
		`function: name "-f"`:                {Name: "-f"},
		`function f: queue "a/b"`:            {Name: "f", Queue: "a/b"},
		`function f: version is -1, must be`: {Name: "f", Version: -1},
		`function f: max_retries is 10001,`:  {Name: "f", Retry: refcache.RetryPolicy{MaxRetries: 10001}},
		`retry_backoff_factor is 0.5,`:       {Name: "f", Retry: refcache.RetryPolicy{BackoffFactor: 0.5}},
		`retry_backoff_factor is -2,`:        {Name: "f", Retry: refcache.RetryPolicy{BackoffFactor: -2}},
		`retry_backoff_factor is +Inf,`:      {Name: "f", Retry: refcache.RetryPolicy{BackoffFactor: math.Inf(1)}},
		`retry_backoff_factor is NaN,`:       {Name: "f", Retry: refcache.RetryPolicy{BackoffFactor: math.NaN()}},
		`retry_jitter is 1.5,`:               {Name: "f", Retry: refcache.RetryPolicy{Jitter: 1.5}},
		`retry_jitter is NaN,`:               {Name: "f", Retry: refcache.RetryPolicy{Jitter: math.NaN()}},
		`function f: backoff: name "a b"`:    {Name: "f", Retry: refcache.RetryPolicy{Backoff: "a b"}},
		`function f: version is 1000000000000000, must have at most 15 digits: use seconds`: {Name: "f", Version: 1e15},
		`function f: ttl is 999ms, must be at`:                                              {Name: "f", TTL: 999 * time.Millisecond},
		`function f: ttl is 0s, must be at`:                                                 {Name: "f", TTL: -1},
		`function f: fresh is 999ms, must be at`:                                            {Name: "f", Fresh: 999 * time.Millisecond},
		`function f: fresh is 0s, must be at`:                                               {Name: "f", Fresh: -1},
		`function f: fresh is 25h0m0s, longer than ttl 24h0m0s`:                             {Name: "f", Fresh: 25 * time.Hour},
		`function f: failure_ttl is 1ms,`:                                                   {Name: "f", FailureTTL: 1},
		`function f: timeout is `:                                                           {Name: "f", Timeout: math.MaxInt64},
		`function f: failure_answer lost is `:                                               {Name: "f", FailureAnswer: refcache.FailureAnswer{Lost: math.MaxInt64}},
		`function f: retry_max_delay is 1m0s, shorter than retry_delay 5m0s`: {Name: "f",
			Retry: refcache.RetryPolicy{Delay: 5 * time.Minute, MaxDelay: time.Minute}},
	} {
		_, err := f.Policy()
		require.ErrorContains(t, err, want)
	}
}

func TestDelaysDouble(t *testing.T) {
	p, err := fn{Name: "f"}.Policy()
	require.NoError(t, err)
	var delays []time.Duration
	for n := range 8 {
		delays = append(delays, p.Delay(n, 0))
	}
	require.Equal(t, []time.Duration{1e9, 2e9, 4e9, 8e9, 16e9, 32e9, 60e9, 60e9}, delays)
	require.Equal(t, 1050*time.Millisecond, p.Delay(0, 0.5), "half of the jitter of a tenth")
	require.Zero(t, refcache.Policy{BackoffFactor: 2}.Delay(10_000, 0.5), "no delay stays none")
}

func TestTheCapThatNobodySetFollowsTheDelay(t *testing.T) {
	for _, c := range []struct {
		retry refcache.RetryPolicy
		want  time.Duration
	}{
		{refcache.RetryPolicy{}, time.Minute},
		{refcache.RetryPolicy{Delay: 59 * time.Second}, time.Minute},
		{refcache.RetryPolicy{Delay: 5 * time.Minute}, 5 * time.Minute},
		{refcache.RetryPolicy{Delay: 5 * time.Minute, MaxDelay: -1}, 0},
		{refcache.RetryPolicy{Backoff: "b"}, 0},
		{refcache.RetryPolicy{Backoff: "b", Delay: 5 * time.Minute, MaxDelay: time.Minute}, time.Minute},
	} {
		p, err := fn{Name: "f", Retry: c.retry}.Policy()
		require.NoError(t, err)
		require.Equal(t, c.want, p.RetryMaxDelay, "%+v", c.retry)
	}
}

func TestDelayIsBoundedAtAnyCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := refcache.Policy{
			RetryDelay:    time.Duration(rapid.Int64Range(0, 3.15e18).Draw(t, "delay")),
			BackoffFactor: rapid.Float64Range(1, math.MaxFloat64).Draw(t, "factor"),
			RetryMaxDelay: time.Duration(rapid.Int64Range(0, 3.15e18).Draw(t, "cap")),
			RetryJitter:   rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
		n, u := rapid.IntRange(0, 10_000).Draw(t, "n"), rapid.Float64Range(0, 0.999).Draw(t, "u")
		plain, jittered := p.Delay(n, 0), p.Delay(n, u)
		require.GreaterOrEqual(t, jittered, plain, "jitter only adds")
		const rounding = 1e-14 // of float64
		require.LessOrEqual(t, float64(jittered), float64(plain)*(1+p.RetryJitter)*(1+rounding)+1)
		require.GreaterOrEqual(t, float64(p.Delay(n+1, 0)), float64(plain)*(1-rounding), "later retries never wait less")
		if p.RetryMaxDelay > 0 {
			require.LessOrEqual(t, plain, p.RetryMaxDelay)
		}
		if p.RetryMaxDelay == 0 || p.RetryDelay <= p.RetryMaxDelay {
			require.GreaterOrEqual(t, plain, p.RetryDelay, "never earlier than the first delay")
		}
	})
}
