package store_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/refq/refq"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
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
	rdb, err := refq.Connect("redis://" + testkit.Start(b))
	require.NoError(b, err)
	name := "q" + strings.ToLower(rand.Text())
	b.Cleanup(func() { require.NoError(b, rdb.Close()) })
	policy, err := refcache.Func[int, int]{Name: "f", Queue: name}.Policy()
	require.NoError(b, err)
	b.ReportAllocs()
	return &stand{b, store.New(script.New(rdb)), rdb, name, policy, fmt.Appendf(nil, `{"pad":"%s"}`, strings.Repeat("x", 118))}
}

func (s *stand) ref(n int) refcache.Ref {
	return refcache.Ref(s.name + ":" + hex.EncodeToString(fmt.Appendf(nil, "%016d", n)))
}

func (s *stand) submit(n int) store.Submitted { return s.submitFrom("refq:inbox:b", n) }

func (s *stand) submitFrom(inbox string, n int) store.Submitted {
	made, err := s.Submit(s.Context(), s.ref(n), store.Submission{Request: rand.Text(), Inbox: inbox,
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

// many are so many that scripts go to Redis by the hundred, and the network hardly counts.
const many = 512

// all does something for each iteration, many at a time.
func (s *stand) all(do func(n int)) { s.from(0, s.N, do) }

// from is all for other numbers.
func (s *stand) from(from, to int, do func(n int)) {
	var next atomic.Int64
	next.Store(int64(from))
	var all sync.WaitGroup
	for range many {
		all.Go(func() {
			for n := next.Add(1) - 1; n < int64(to); n = next.Add(1) - 1 {
				do(int(n))
			}
		})
	}
	all.Wait()
}

// measure is all, after what comes before has been done. It reports what it takes of Redis's time.
func (s *stand) measure(do func(n int), before ...func(n int)) {
	for _, do := range before {
		s.all(do)
	}
	began := testkit.CPU(s, s.rdb)
	s.ResetTimer()
	s.all(do)
	s.StopTimer()
	s.ReportMetric((testkit.CPU(s, s.rdb)-began)*1e6/float64(s.N), "redis-us/op")
}

func BenchmarkSubmit(b *testing.B) {
	s := newStand(b)
	s.measure(func(n int) { s.submit(n) })
}

func BenchmarkClaim(b *testing.B) {
	s := newStand(b)
	s.measure(s.claim, func(n int) { s.submit(n) })
}

func BenchmarkFinish(b *testing.B) {
	s := newStand(b)
	s.measure(s.finish, func(n int) { s.submit(n) }, s.claim)
}

// The end of a call lets the next in: what that takes when calls of 10,000 keys wait, and when as many wait that are all of one. Both
// take turns, on one Redis.
func BenchmarkFinishThatLetsIn(b *testing.B) {
	lines := []*line{newLine(b, 1), newLine(b, 10_000)}
	b.ResetTimer()
	const turns = 10
	for turn := range turns {
		for _, l := range lines {
			began := testkit.CPU(b, l.rdb)
			l.from(b.N*turn/turns, b.N*(turn+1)/turns, l.finish)
			l.took += testkit.CPU(b, l.rdb) - began
		}
		slices.Reverse(lines)
	}
	b.StopTimer()
	for _, l := range lines {
		b.ReportMetric(l.took*1e6/float64(b.N), fmt.Sprintf("redis-us/op-of-%d", l.keys))
		require.EqualValues(b, waitingInLine, l.rdb.ZCard(b.Context(), "refq:{"+l.name+"}:waiting").Val(), "each end has let one in")
	}
	b.ReportMetric(lines[1].took/lines[0].took, "times")
}

// line is a stand with a gate in which one call for each iteration runs, and more wait.
type line struct {
	*stand
	keys int
	took float64
}

// waitingInLine is how many calls wait in a line when all have ended that run at first.
const waitingInLine = 10_000

func newLine(b *testing.B, keys int) *line {
	l := &line{stand: newStand(b), keys: keys}
	numbers := store.GateNumbers{Each: b.N, All: b.N}
	_, err := l.Heartbeat(b.Context(), l.name, store.Beat{Worker: "worker", About: `{"functions":["f@1"],"since":5}`,
		Gates: map[string]store.GateNumbers{"g": numbers}})
	require.NoError(b, err)
	submit := func(n int) {
		_, err := l.Submit(b.Context(), l.ref(n), store.Submission{Request: rand.Text(), Inbox: "refq:inbox:b",
			Namespace: refcache.DefaultNamespace, Policy: l.policy, Args: l.text, Turn: store.NewTurn("g", fmt.Sprint("host", n%keys), "", 0)})
		require.NoError(b, err)
	}
	l.from(0, b.N, submit)
	l.from(0, b.N, l.claim)
	l.from(b.N, 2*b.N+waitingInLine, submit)
	return l
}

// A hit is a submit that finds the result.
func BenchmarkHit(b *testing.B) {
	s := newStand(b)
	s.submit(0)
	s.claim(0)
	s.finish(0)
	s.measure(func(int) { require.NotNil(b, s.submit(0).Result) })
}

// A join is a submit that finds a call which another producer made and nobody has run yet: it becomes the second waiter.
func BenchmarkJoin(b *testing.B) {
	s := newStand(b)
	s.measure(func(n int) { require.False(b, s.submitFrom("refq:inbox:c", n).Starts) }, func(n int) { s.submit(n) })
}

// What a script costs that does nothing.
func BenchmarkEmptyScript(b *testing.B) {
	s := newStand(b)
	empty, shared := redis.NewScript("return nil"), script.New(s.rdb)
	s.measure(func(int) { require.ErrorIs(b, empty.Run(b.Context(), shared, []string{"k"}, s.text).Err(), redis.Nil) })
}

// Nothing but the commands that a new call cannot do without, in three scripts that get all else ready-made and check nothing:
// what submit, claim and finish would take if their Lua took nothing.
func BenchmarkCommandsOfSubmit(b *testing.B) {
	s := newStand(b)
	s.measure(s.commands(`
redis.call('HMGET', KEYS[2], 'state', 'policy', 'last_error', 'note', 'progress', 'result', 'result_encoding')
redis.call('TIME')
redis.call('ZADD', KEYS[1] .. 'pending', 1, string.sub(KEYS[2], -32))
redis.call('HSET', KEYS[2], 'state', ARGV[1], 'policy', ARGV[2], 'args', ARGV[3])
return {{ARGV[1], ARGV[2], false, false, false, '1'}, false, false, 1, false}`, fmt.Sprintf(",pending,,,,1234567890123,,,,,,,,,,%s,,refq:inbox:b", rand.Text()), "f,,,,,,,,,,,", s.text))
}

func BenchmarkCommandsOfClaim(b *testing.B) {
	s := newStand(b)
	s.measure(s.commands(`
local stored = redis.call('HMGET', KEYS[2], 'state', 'policy', 'args', 'note', 'progress', 'last_error', 'trace')
redis.call('TIME')
redis.call('ZADD', KEYS[1] .. 'workers', 1, 'worker')
redis.call('HSET', KEYS[1] .. 'claims:worker', string.sub(KEYS[2], -32), 'token')
redis.call('ZREM', KEYS[1] .. 'pending', string.sub(KEYS[2], -32))
redis.call('HSET', KEYS[2], 'state', ARGV[1])
return {'run', {ARGV[1], stored[2], stored[6], false, false, '1'}, stored[3], stored[7], false}`, s.claimed("processing")),
		func(n int) { s.submit(n) })
}

func BenchmarkCommandsOfFinish(b *testing.B) {
	s := newStand(b)
	s.measure(s.commands(`
redis.call('HMGET', KEYS[2], 'state', 'policy', 'last_error', 'note', 'progress', 'result', 'result_encoding')
redis.call('TIME')
redis.call('LPUSH', KEYS[1] .. 'completions', string.sub(KEYS[2], -32))
redis.call('HDEL', KEYS[1] .. 'claims:worker', string.sub(KEYS[2], -32))
redis.call('HSET', KEYS[2], 'state', ARGV[1], 'result', ARGV[2])
redis.call('PEXPIRE', KEYS[2], '86400000')
redis.pcall('SPUBLISH', KEYS[1] .. 'in:b', ARGV[2])
return {1, 'complete', 0, false}`, s.claimed("complete"), s.text), func(n int) { s.submit(n) }, s.claim)
}

// claimed is a state as long as that of a call that was claimed once.
func (s *stand) claimed(status string) string {
	return fmt.Sprintf(",%s,,,1,1234567890123,,1234567890123,,,,,,token,%s,worker,refq:inbox:b", status, rand.Text())
}

// commands runs a script about a record.
func (s *stand) commands(text string, args ...any) func(n int) {
	script, shared := redis.NewScript(text), script.New(s.rdb)
	prefix := "refq:{" + s.name + "}:"
	return func(n int) {
		require.NoError(s, script.Run(s.Context(), shared, []string{prefix, prefix + "t:" + s.ref(n).Hash()}, args...).Err())
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
