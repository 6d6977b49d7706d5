package store

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

// FuzzAttempt: whatever stands in a record, an attempt is read or refused; what is read once is read again the same.
func FuzzAttempt(f *testing.F) {
	for _, seed := range []string{
		`{"cycle":1,"attempt":2,"started_at":1764000000000,"timestamp":1764000001500,"cause":"error","error":"boom","delay":1000,"worker":"w1"}`,
		`{"cycle":1,"attempt":1,"started_at":1764000000000,"timestamp":1764000001500,"cause":"lost","error":"worker w1 was lost","worker":"w1"}`,
		`{"timestamp":-9223372036854775808,"started_at":9223372036854775807}`, `{"delay":1e3}`, `{"delay":9223372036854775807}`, `{"error":"\ud800"}`, `{}`, `null`, `[]`, ``, `{"cycle":"1"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAttempt(text)
		if err != nil {
			require.ErrorContains(t, err, "attempt: ")
			return
		}
		require.GreaterOrEqual(t, min(a.Duration, a.Delay), time.Duration(0))
		written, err := json.Marshal(attemptEntry{Cycle: a.Cycle, Attempt: a.Attempt, Error: a.Error, Cause: a.Cause, Worker: a.Worker,
			Timestamp: a.Timestamp.UnixMilli(), StartedAt: a.StartedAt.UnixMilli(), Delay: a.Delay.Milliseconds()})
		require.NoError(t, err)
		again, err := parseAttempt(string(written))
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(a, again))
	})
}

func TestScriptsMayLeaveExactlyTheStatusesOfTheTable(t *testing.T) {
	t.Parallel()
	require.Equal(t, "{pending = true, retrying = true, }", luaFrom("claim"))
	require.Equal(t, "{cancelled = true, failed = true, complete = true, }", luaFrom("submit"))
	require.Equal(t, "{}", luaFrom("read"))
}

func TestEveryKeyOfAQueueHasItsHashTag(t *testing.T) {
	t.Parallel()
	ref := refcache.Ref("media:0123456789abcdef0123456789abcdef")
	require.Equal(t, "refq:{media}:t:0123456789abcdef0123456789abcdef", recordKey(ref))
	for _, key := range []string{recordKey(ref), statusKey("media", refcache.Failed), workersKey("media"), claimsKey("media", "w1")} {
		require.True(t, strings.HasPrefix(key, "refq:{media}:"), key)
	}
	require.Equal(t, ref, refOf("media", ref.Hash()))
}

func TestPolicyIsPackedWithoutItsDefaultsAndReadBack(t *testing.T) {
	t.Parallel()
	p := refcache.Defaults
	p.Name = "f"
	require.Equal(t, "f,,,,,,,,,,,", packPolicy("default", p))
	p = refcache.Policy{Name: "f", Version: 4, MaxRetries: 5, TTL: time.Hour, FailureTTL: 2 * time.Hour, RetryDelay: time.Minute,
		RetryMaxDelay: 3 * time.Hour, Timeout: time.Second, BackoffFactor: 1.5, RetryJitter: 0.25, Backoff: "slow", Queue: "media"}
	text := packPolicy("shop", p)
	require.Equal(t, "f,4,shop,5,3600000,7200000,60000,10800000,1000,1.5,0.25,slow", text)
	r, err := parseRecord("media:0123456789abcdef0123456789abcdef", []any{",pending,,,,1764000000000,,,,,,,,,,r1,,", text, nil, nil, nil, "1764000002000"})
	require.NoError(t, err)
	require.Equal(t, p, r.Policy)
	require.Equal(t, "shop", r.Namespace)
}

// A small record must not fill the memory of whoever reads it, whether or not the packed form says how large it is.
func TestUnpackingIsBounded(t *testing.T) {
	testkit.Long(t)
	t.Parallel()
	zip := newCompressor()
	var stream bytes.Buffer
	enc, err := zstd.NewWriter(&stream)
	require.NoError(t, err)
	for range 65 {
		_, err := enc.Write(make([]byte, 1<<20))
		require.NoError(t, err)
	}
	require.NoError(t, enc.Close())
	known := zip.enc.EncodeAll(make([]byte, maxResult+1), nil)
	for _, packed := range [][]byte{known, stream.Bytes()} {
		require.Less(t, len(packed), 100_000)
		_, err := zip.unpack(packed, zstdEncoding)
		require.ErrorIs(t, err, zstd.ErrDecoderSizeExceeded)
	}
	largest, err := zip.unpack(zip.enc.EncodeAll(make([]byte, maxResult), nil), zstdEncoding)
	require.NoError(t, err)
	require.Len(t, largest, maxResult)
}

func TestAProcessThatBeginsWithManyCallsAtOnceAssemblesAScriptOnce(t *testing.T) {
	t.Parallel()
	var kept sync.Map
	var assembled atomic.Int64
	var all sync.WaitGroup
	begin := make(chan struct{})
	for range 100 {
		all.Go(func() {
			<-begin
			assembleOnce(&kept, "submit", "", func() string {
				assembled.Add(1)
				runtime.Gosched() // others come while the text is made
				return "return 1"
			})
		})
	}
	close(begin)
	all.Wait()
	require.EqualValues(t, 1, assembled.Load())
}
