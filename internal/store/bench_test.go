package store_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/redistest"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// stand is a queue of one benchmark, on a real Redis, with calls of 128 bytes and results as large.
type stand struct {
	*testing.B
	*store.Store
	rdb    redis.UniversalClient
	name   string
	policy refcache.Policy
	text   []byte
}

func newStand(b *testing.B) *stand {
	rdb, err := refcache.Connect("redis://" + redistest.Start(b))
	require.NoError(b, err)
	name := "q" + strings.ToLower(rand.Text())
	b.Cleanup(func() { require.NoError(b, rdb.Close()) })
	policy, err := refcache.Func[int, int]{Name: "f", Queue: name}.Policy()
	require.NoError(b, err)
	b.ReportAllocs()
	return &stand{b, store.New(rdb), rdb, name, policy, fmt.Appendf(nil, `{"pad":"%s"}`, strings.Repeat("x", 118))}
}

func (s *stand) ref(n int) refcache.Ref {
	return refcache.Ref(s.name + ":" + hex.EncodeToString(fmt.Appendf(nil, "%016d", n)))
}

func (s *stand) submit(n int) store.Submitted {
	made, err := s.Submit(s.Context(), s.ref(n), store.Submission{Request: rand.Text(), Inbox: "refq:inbox:b",
		Namespace: refcache.DefaultNamespace, Policy: s.policy, Args: s.text})
	require.NoError(s, err)
	return made
}

func (s *stand) claim(n int) {
	answer, err := s.Claim(s.Context(), s.ref(n), "token", "worker")
	require.NoError(s, err)
	require.True(s, answer.Run)
}

func (s *stand) finish(n int) {
	done, err := s.Finish(s.Context(), s.ref(n), "token", s.Completed(s.text))
	require.NoError(s, err)
	require.True(s, done.Current)
}

// before does what comes before the part that is measured, for each iteration, while the clock stands.
func (s *stand) before(do func(n int)) {
	s.StopTimer()
	for n := range s.N {
		do(n)
	}
	s.StartTimer()
}

func BenchmarkSubmit(b *testing.B) {
	s := newStand(b)
	for n := range b.N {
		s.submit(n)
	}
}

func BenchmarkClaim(b *testing.B) {
	s := newStand(b)
	s.before(func(n int) { s.submit(n) })
	for n := range b.N {
		s.claim(n)
	}
}

func BenchmarkFinish(b *testing.B) {
	s := newStand(b)
	s.before(func(n int) {
		s.submit(n)
		s.claim(n)
	})
	for n := range b.N {
		s.finish(n)
	}
}

// A hit is a submit that finds the result.
func BenchmarkHit(b *testing.B) {
	s := newStand(b)
	s.submit(0)
	s.claim(0)
	s.finish(0)
	for b.Loop() {
		if s.submit(0).Result == nil {
			b.Fatal("no result")
		}
	}
}

// What a round trip to this Redis costs in itself.
func BenchmarkPing(b *testing.B) {
	s := newStand(b)
	for b.Loop() {
		require.NoError(b, s.rdb.Ping(b.Context()).Err())
	}
}

// Packing is what results cost besides: small ones are stored as they are, larger ones compressed.
func BenchmarkCompleted(b *testing.B) {
	s := store.New(nil)
	for _, size := range []int{128, 8 << 10, 256 << 10} {
		var text strings.Builder
		for text.Len() < size {
			text.WriteString(rand.Text())
		}
		result := []byte(text.String()[:size])
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				s.Completed(result)
			}
		})
	}
}
