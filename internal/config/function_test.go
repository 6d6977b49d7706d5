package config_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/refcache"
)

func functions(t *testing.T, yaml string) map[string]config.Function {
	t.Helper()
	byName := map[string]config.Function{}
	for _, f := range mustLoad(t, yaml, nil, nil).Functions {
		byName[f.Func.Name] = f
	}
	return byName
}

func policy(t *testing.T, f config.Func) refcache.Policy {
	t.Helper()
	p, err := f.Policy()
	require.NoError(t, err)
	return p
}

func TestEveryPolicyKeyReachesItsField(t *testing.T) {
	t.Parallel()
	f := functions(t, `
functions:
  pdf/thumb.v2:
    version: 7
    key: [/url, /a~1b]
    key_conflict: refuse
    args:
      page: 0
      opts: {big: 12345678901234567890123, text: "a\"b", list: [1.50, ~, yes, no, true]}
      nothing:
    queue: media
    timeout: 30s
    async_timeout: 1.5
    ttl: 2h
    fresh: 1h
    failure_ttl: 3h
    failure_answer: {error: 1, permanent: 2, timeout: 3, panic: 4, lost: 5}
    max_retries: 5
    retry_delay: 250ms
    retry_backoff_factor: 1.5
    retry_max_delay: 90
    retry_jitter: 0.25
    backoff: polite
`)["pdf/thumb.v2"]
	require.Empty(t, cmp.Diff(refcache.Policy{
		Name: "pdf/thumb.v2", Version: 7, Queue: "media", Timeout: 30 * time.Second, AsyncTimeout: 1500 * time.Millisecond,
		TTL: 2 * time.Hour, Fresh: time.Hour, FailureTTL: 3 * time.Hour, MaxRetries: 5, RetryDelay: 250 * time.Millisecond,
		BackoffFactor: 1.5, RetryMaxDelay: 90 * time.Second, RetryJitter: 0.25, Backoff: "polite",
		FailureAnswer: refcache.FailureAnswer{Error: time.Second, Permanent: 2 * time.Second, Timeout: 3 * time.Second,
			Panic: 4 * time.Second, Lost: 5 * time.Second},
	}, policy(t, f.Func)))
	require.Equal(t, []string{"/url", "/a~1b"}, f.Func.KeyFields)
	require.Equal(t, refcache.KeyRefuse, f.Func.KeyConflict)
	require.Equal(t, `{"page":0,"opts":{"big":12345678901234567890123,"text":"a\"b","list":[1.50,null,"yes","no",true]},"nothing":null}`, string(f.Args))
	require.Empty(t, cmp.Diff(config.Function{Func: f.Func, Args: f.Args}, f), "no command")
}

func TestTagsAreMadeOfArguments(t *testing.T) {
	t.Parallel()
	fs := functions(t, `
functions:
  thumb: {tags: ["user:{/user}", "{/a~1b/0}-{/n}", all]}
  empty: {tags: []}
  none:
`)
	thumb := fs["thumb"]
	require.Equal(t, []string{"user:{/user}", "{/a~1b/0}-{/n}", "all"}, thumb.Tags)
	require.Equal(t, []string{"user:7", "x-19.99", "all"}, thumb.Func.Tags([]byte(`{"n":1.999e1,"user":7.0,"a/b":["x"]}`)))
	require.Equal(t, []string{"user:ann", "all"}, thumb.Func.Tags([]byte(`{"user":"ann","n":null}`)), "a tag of what is absent is left out")
	require.NotNil(t, fs["empty"].Func.Tags)
	require.Empty(t, fs["empty"].Func.Tags([]byte(`{}`)))
	require.Nil(t, fs["none"].Func.Tags)
}

func TestAbsentMeansTheDefaultAndZeroMeansNone(t *testing.T) {
	t.Parallel()
	fs := functions(t, `
functions:
  absent:
  zero: {timeout: 0, async_timeout: 0s, max_retries: 0, retry_delay: 0.0, retry_max_delay: 0, retry_jitter: 0}
`)
	want := refcache.Defaults
	want.Name = "absent"
	require.Empty(t, cmp.Diff(want, policy(t, fs["absent"].Func)))

	want.Name = "zero"
	want.Timeout, want.AsyncTimeout, want.MaxRetries, want.RetryDelay, want.RetryMaxDelay, want.RetryJitter = 0, 0, 0, 0, 0, 0
	require.Empty(t, cmp.Diff(want, policy(t, fs["zero"].Func)))
}

func TestDefaultsHoldForFunctionsThatDoNotSayOtherwise(t *testing.T) {
	t.Parallel()
	fs := functions(t, `
functions:
  plain: {}
  own: {queue: q, timeout: 1, async_timeout: 1, ttl: 1, failure_ttl: 1, max_retries: 0, retry_delay: 1,
    retry_backoff_factor: 1, retry_max_delay: 1, retry_jitter: 1, backoff: b, failure_answer: 0}
defaults: {queue: all, timeout: 0, async_timeout: 9, ttl: 9, fresh: 1, failure_ttl: 9, max_retries: 9, retry_delay: 9,
  retry_backoff_factor: 9, retry_max_delay: 9, retry_jitter: 0.9, backoff: all, failure_answer: {error: 9, lost: 9}}
`)
	nine := 9 * time.Second
	require.Empty(t, cmp.Diff(refcache.Policy{
		Name: "plain", Version: 1, Queue: "all", Timeout: 0, AsyncTimeout: nine, TTL: nine, Fresh: time.Second, FailureTTL: nine, MaxRetries: 9,
		RetryDelay: nine, BackoffFactor: 9, RetryMaxDelay: nine, RetryJitter: 0.9, Backoff: "all",
		FailureAnswer: refcache.FailureAnswer{Error: nine, Permanent: time.Hour, Timeout: time.Minute, Panic: time.Minute, Lost: nine},
	}, policy(t, fs["plain"].Func)))
	require.Empty(t, cmp.Diff(refcache.Policy{
		Name: "own", Version: 1, Queue: "q", Timeout: time.Second, AsyncTimeout: time.Second, TTL: time.Second, Fresh: time.Second,
		FailureTTL: time.Second, MaxRetries: 0, RetryDelay: time.Second, BackoffFactor: 1, RetryMaxDelay: time.Second,
		RetryJitter: 1, Backoff: "b",
		FailureAnswer: refcache.FailureAnswer{Permanent: time.Hour, Lost: nine},
	}, policy(t, fs["own"].Func)))
}

func TestACommandIsReadWhole(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
functions:
  full:
    exec: [python3, "thumb.py", 5, --fast]
    dir: media/in
    env: {SIZE: 128, RATIO: 1.50, FAST: true, NAME: "a=b", EMPTY: ""}
    inherit_env: [AWS_PROFILE, no_proxy]
    permanent_exit_codes: [1, 255]
  short: {exec: [date]}
  absolute: {exec: [date], dir: /srv, permanent_exit_codes: []}
`, nil, nil)
	folder := filepath.Dir(c.Path)
	want := []config.Function{
		{Func: config.Func{Name: "absolute"}, Exec: []string{"date"}, Dir: "/srv", PermanentExitCodes: []int{}},
		{
			Func: config.Func{Name: "full"}, Exec: []string{"python3", "thumb.py", "5", "--fast"}, Dir: folder + "/media/in",
			Env:        map[string]string{"SIZE": "128", "RATIO": "1.50", "FAST": "true", "NAME": "a=b", "EMPTY": ""},
			InheritEnv: []string{"AWS_PROFILE", "no_proxy"}, PermanentExitCodes: []int{1, 255},
		},
		{Func: config.Func{Name: "short"}, Exec: []string{"date"}, Dir: folder, PermanentExitCodes: []int{65}},
	}
	require.Empty(t, cmp.Diff(want, c.Functions), "sorted by name")
}

func TestAnchorsAndMergesAreFollowed(t *testing.T) {
	t.Parallel()
	fs := functions(t, `
defaults: &all {ttl: 1h, timeout: 9s}
functions:
  a: &a
    exec: &command [date, -u]
    timeout: &short 1s
  b:
    <<: *a
    timeout: 2s
  c: {<<: [*a, *all], exec: *command, retry_delay: *short}
`)
	require.Equal(t, []string{"date", "-u"}, fs["b"].Exec)
	require.Equal(t, 2*time.Second, fs["b"].Func.Timeout, "own keys win")
	require.Equal(t, config.Func{Name: "c", TTL: time.Hour, Timeout: time.Second, Retry: refcache.RetryPolicy{Delay: time.Second}},
		fs["c"].Func, "the first one merged wins")
}

func TestSetPolicyMeansWhatTheFileMeans(t *testing.T) {
	t.Parallel()
	f := config.Func{Name: "f"}
	require.NoError(t, config.SetPolicy(&f, "max_retries", "0"))
	require.NoError(t, config.SetPolicy(&f, "timeout", "1.5"))
	require.Equal(t, config.Func{Name: "f", Timeout: 1500 * time.Millisecond, Retry: refcache.RetryPolicy{MaxRetries: refcache.NoRetries}}, f)

	before := f
	require.EqualError(t, config.SetPolicy(&f, "max_retries", "-1"), "max_retries is -1, must be a whole number, 0 (none) or more")
	require.EqualError(t, config.SetPolicy(&f, "ttl", "1ms"), "ttl is 1ms, must be at least 1s")
	require.ErrorContains(t, config.SetPolicy(&f, "exec", "date"), "exec is no policy key, must be one of queue, timeout, ")
	require.Equal(t, before, f)
}
