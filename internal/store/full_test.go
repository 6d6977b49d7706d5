package store_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// brimful is a queue on a Redis whose memory is full for each script that is sent first. Then the queue is brought back, and the script
// runs with room.
type brimful struct {
	*queue  // its Store goes through the hook
	addr    string
	watches bool               // scripts that prepare a situation have room
	met     map[string]outcome // by script
}

// outcome is how often a script did all of what it does with room, nothing, and how often there was nothing to do.
type outcome struct{ all, nothing, reads int }

func newBrimful(t *testing.T) *brimful {
	addr := testkit.New(t, "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction").Addr
	options := testkit.Options(addr)
	open := func() *redis.Client {
		rdb := redis.NewClient(options)
		t.Cleanup(func() { _ = rdb.Close() })
		return rdb
	}
	hooked := open()
	b := &brimful{queue: newQueue(t, open()), addr: addr, met: map[string]outcome{}}
	b.queue.Store = store.New(hooked)
	hooked.AddHook(b)
	return b
}

// begin empties the queue, for a situation to be prepared.
func (b *brimful) begin() {
	b.restore(nil)
	b.watches = false
}

func (b *brimful) fill(is bool) {
	limit := map[bool]string{true: "1", false: "0"}[is]
	require.NoError(b, b.rdb.ConfigSet(b.Context(), "maxmemory", limit).Err())
}

func (b *brimful) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *brimful) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !b.watches || cmd.Name() != "evalsha" && cmd.Name() != "eval" {
			return next(ctx, cmd)
		}
		return b.both(cmd, func() error { return next(ctx, cmd) })
	}
}

func (b *brimful) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !b.watches || len(cmds) != 1 || cmds[0].Name() != "evalsha" && cmds[0].Name() != "eval" {
			return next(ctx, cmds)
		}
		return b.both(cmds[0], func() error { return next(ctx, cmds) })
	}
}

// both sends a script to a full Redis, and then has it sent to one with room.
func (b *brimful) both(cmd redis.Cmder, send func() error) error {
	name, o := b.nameOf(cmd), outcome{}
	if name == "" {
		return send() // it has no keys
	}
	before := b.snapshot()
	for began := b.now().UnixMilli(); b.now().UnixMilli() == began; { // what is of this very millisecond is told apart
	}
	b.fill(true)
	err := b.rdb.Do(b.Context(), cmd.Args()...).Err()
	b.fill(false)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		return send()
	}
	full := b.snapshot()
	b.restore(before)
	sent := send()
	whole := b.snapshot()

	switch unchanged := cmp.Equal(timeless(before), timeless(whole), cmp.AllowUnexported(kept{})); {
	case script.Full(err):
		o.nothing = 1
		require.Empty(b, cmp.Diff(timeless(before), timeless(full), cmp.AllowUnexported(kept{})), "%s was refused, and has written", name)
	case unchanged:
		o.reads = 1
	default:
		o.all = 1
	}
	if !script.Full(err) {
		require.Empty(b, cmp.Diff(timeless(whole), timeless(full), cmp.AllowUnexported(kept{})), "%s went through, and not with all of it: %v", name, err)
	}
	was := b.met[name]
	b.met[name] = outcome{was.all + o.all, was.nothing + o.nothing, was.reads + o.reads}
	return sent
}

func (b *brimful) nameOf(cmd redis.Cmder) string {
	hash := cmd.Args()[1].(string)
	if cmd.Name() == "eval" {
		sum := sha1.Sum([]byte(hash))
		hash = hex.EncodeToString(sum[:])
	}
	return store.ScriptName(hash)
}

// timeless is a state without what depends on the moment.
func timeless(s snapshot) snapshot {
	all := snapshot{}
	for key, k := range s {
		values := make([]string, len(k.values))
		for i, value := range k.values {
			values[i] = moments.ReplaceAllString(value, "T")
		}
		if k.kind != "list" {
			slices.Sort(values)
		}
		all[moments.ReplaceAllString(key, "T")] = kept{k.kind, values, min(k.expires, 1)}
	}
	return all
}

var moments = regexp.MustCompile(`\b\d{13,16}`)

func TestOnAFullRedisAScriptDoesAllOrNothing(t *testing.T) {
	testkit.Long(t)
	t.Parallel()
	b := newBrimful(t)
	for _, s := range situations {
		for _, c := range commands {
			b.begin()
			k := s.build(b.queue)
			b.watches = true
			c.send(b.queue, k)
		}
	}
	for _, also := range others {
		b.begin()
		also(b)
	}
	names := slices.Collect(maps.Keys(store.ScriptSources()))
	names = slices.DeleteFunc(names, func(name string) bool { return name == "lib" || name == "gates" || name == "turns" }) // others have them
	require.ElementsMatch(t, names, slices.Collect(maps.Keys(b.met)))
	// What must go through, always; and what only looks, or takes away.
	for _, name := range []string{"cancel", "delete", "heartbeat", "remove_worker", "resume"} {
		require.Zero(t, b.met[name].nothing, name)
		require.NotZero(t, b.met[name].all, name)
	}
	for _, name := range []string{"submit", "claim", "finish", "dequeue_and_claim", "sweep", "retry", "redeliver", "enter", "invalidate", "pause"} {
		require.NotZero(t, b.met[name].nothing, name)
	}
}

// others are what is sent besides the commands of the table of transitions.
var others = []func(b *brimful){
	func(b *brimful) { // who waits
		k := b.processing()
		b.watches = true
		c := b.submission()
		c.Inbox = "refq:inbox:a"
		_, err := b.Submit(b.Context(), k.ref, c)
		require.NoError(b, err)
		b.wait(k, "refq:inbox:b")
	},
	func(b *brimful) { // a new life, by what was on record, with all that a submission may say
		for _, k := range []task{{ref: b.ref()}, b.complete(), b.failed(), b.cancelled()} {
			b.watches = true
			c := b.tagged("a")
			c.RetryFailed, c.Refresh, c.KeyConflict, c.Trace = true, true, refcache.KeyJoin, "trace"
			_, err := b.Submit(b.Context(), k.ref, c)
			require.NoError(b, err)
			b.watches = false
		}
	},
	func(b *brimful) { // refreshes that end, or not
		for _, o := range []store.Outcome{store.Errored(permanent()), store.Released("n", "w1"), store.HandedOn("n", "w1", store.LacksMember)} {
			k := b.start(b.refresh(b.complete()))
			b.watches = true
			b.finish(k.ref, k.token, o)
			b.watches = false
		}
		k := b.refresh(b.complete())
		b.watches = true
		b.cancel(k)
	},
	func(b *brimful) { // damaged records
		for _, d := range damages()[:3] {
			k := b.damaged(d)
			b.watches = true
			_, _, err := b.Cancel(b.Context(), k.seen, "ann")
			require.ErrorIs(b, err, store.ErrDamaged)
			_, err = b.DeleteDamaged(b.Context(), k.ref)
			require.NoError(b, err)
			b.watches = false
		}
	},
	func(b *brimful) { // what a worker says of itself, at first and later
		k := b.start(task{ref: b.pending().ref, worker: "w2"})
		b.watches = true
		for range 2 {
			b.gate("g", store.GateNumbers{Each: 1})
			b.beat("w2", store.Claim{Ref: k.ref, Token: k.token})
		}
		require.NoError(b, b.RemoveWorker(b.Context(), b.name, "w1", "w1"))
		require.NoError(b, b.DeclareGates(b.Context(), b.name, []store.DeclaredGate{{Name: "h", Numbers: store.GateNumbers{Each: 1}}}))
		_, err := b.Declared(b.Context(), b.name)
		require.NoError(b, err)
	},
	func(b *brimful) { // a sweep that finds something of everything
		b.gate("g", store.GateNumbers{Each: 1})
		b.old(b.admitted(), time.Hour)
		b.inLine("g", "k")
		b.processing()
		b.silence("w1", time.Hour)
		b.silence("idle", time.Hour)
		b.complete()
		b.completion("0123456789abcdef0123456789abcdef", b.now().Add(-time.Hour))
		b.score("pending", "0123456789abcdef0123456789abcdef", b.now())
		b.invalidate("t:default a")
		b.pause(refcache.Pause{Func: "f", By: "ann"}, time.Hour)
		b.over("f:f")
		require.NoError(b, b.rdb.SAdd(b.Context(), b.key("aside"), "f@1").Err())
		b.watches = true
		b.sweep(10)
		_, err := b.SweepGates(b.Context(), b.name)
		require.NoError(b, err)
		_, err = b.LetInDue(b.Context(), b.name)
		require.NoError(b, err)
	},
	func(b *brimful) { // pauses, and what operators set
		b.gate("g", store.GateNumbers{Each: 1})
		b.inLine("g", "k")
		b.inLine("g", "k")
		b.watches = true
		b.pause(b.whole(), time.Hour)
		b.pauses()
		require.True(b, b.resume(b.whole()))
		_, _, err := b.PauseGate(b.Context(), b.name, refcache.Pause{Gate: "g", By: "ann"}, 0)
		require.NoError(b, err)
		_, _, err = b.ResumeGate(b.Context(), b.name, refcache.Pause{Gate: "g"})
		require.NoError(b, err)
		b.sets("g", monitor.GateSetting{Each: new(2)}, time.Hour)
		b.look("g")
	},
	func(b *brimful) { // doorbells that are dequeued: claimed, put into the hands of who claims, set aside
		k := b.pending()
		from := b.handing(k.ref)
		from.Dequeue.Text = "redis.call('RPOPLPUSH', '" + b.key("bells") + "', '" + b.key("active") + "') " + from.Dequeue.Text
		require.NoError(b, b.rdb.LPush(b.Context(), b.key("bells"), "a", "b", "c").Err())
		b.watches = true
		for _, known := range [][]string{{"f@1"}, {"f@1"}, nil} {
			_, err := b.DequeueAndClaim(b.Context(), b.name, "t8", "w1", store.NewKnown(known), from)
			require.NoError(b, err)
		}
		from = b.settable(k.ref)
		from.Dequeue.Text = "redis.call('RPOPLPUSH', '" + b.key("bells") + "', '" + b.key("active") + "') " +
			"local id = redis.call('RPOP', '" + b.key("bells") + "') return id and {ARGV[1], KEYS[1], id}"
		other := b.pending
		b.watches = false
		k = other()
		from.Dequeue.Use.Keys = []string{string(k.ref)}
		b.watches = true
		require.NoError(b, b.rdb.LPush(b.Context(), b.key("bells"), "d", "e").Err())
		_, err := b.DequeueAndClaim(b.Context(), b.name, "t9", "w1", nothing, from)
		require.NoError(b, err)
		b.works("w3", `"f@1"`)
		require.NoError(b, b.WakeFor(b.Context(), b.name, "f@1"))
	},
	func(b *brimful) { // attempts that were lost too often
		k := b.processing()
		b.set(k.ref, "lost_count", "3")
		b.watches = true
		b.redeliver(k, k.worker)
	},
	func(b *brimful) { // counts, stamps and what only looks
		b.old(b.pending(), time.Minute)
		b.complete()
		b.watches = true
		require.NoError(b, b.CountMinute(b.Context(), b.name, []monitor.FunctionStats{happened("f")}))
		b.invalidate("t:default a", "t:default b")
		for _, status := range []refcache.Status{refcache.Pending, refcache.Complete} {
			_, err := b.ReadAll(b.Context(), b.entries(status, 10))
			require.NoError(b, err)
			_, err = b.Listed(b.Context(), b.name, status, b.now())
			require.NoError(b, err)
		}
		b.overview()
		_, err := b.Sizes(b.Context(), b.name)
		require.NoError(b, err)
		found, err := b.Refused(b.Context(), store.Needs(b.name))
		require.NoError(b, err)
		require.Empty(b, found)
	},
}

func TestOnAFullRedisWhoJoinsIsAnsweredAndNotNoted(t *testing.T) {
	t.Parallel()
	b := newBrimful(t)
	running, done := b.processing(), b.complete()
	before := b.snapshot()
	b.fill(true)
	defer b.fill(false)
	call := func(ref refcache.Ref) store.Call {
		c := b.submission()
		c.Inbox = "refq:inbox:a"
		return store.Call{Ref: ref, Submission: c}
	}

	made, err := b.Submit(b.Context(), running.ref, call(running.ref).Submission)
	require.NoError(b, err)
	require.Equal(b, refcache.Processing, made.Status)
	record, _, err := b.Result(b.Context(), running.ref, "refq:inbox:a")
	require.NoError(b, err)
	require.Equal(b, refcache.Processing, record.Status)
	_, err = b.Submit(b.Context(), b.ref(), call("").Submission)
	require.True(b, script.Full(err), err)

	many := b.SubmitMany(b.Context(), []store.Call{call(done.ref), call(b.ref()), call(running.ref)})
	require.Equal(b, `"done"`, string(many[0].Result))
	require.True(b, script.Full(many[1].Err), many[1].Err)
	require.NoError(b, many[2].Err)
	require.Equal(b, refcache.Processing, many[2].Status)
	require.Equal(b, timeless(before), timeless(b.snapshot()))
}

func TestOnAFullRedisWhatIsPermittedIsToldAllTheSame(t *testing.T) {
	t.Parallel()
	b := newBrimful(t)
	rdb := b.rdb.(*redis.Client)
	require.NoError(b, rdb.Do(b.Context(), "ACL", "SETUSER", "default", "-zadd").Err())
	b.fill(true)
	defer b.fill(false)
	refused, err := b.Refused(b.Context(), store.Needs(b.name))
	require.NoError(b, err)
	require.Len(b, refused, 2)
	require.Equal(b, monitor.Refusal{Keys: "refq:{" + b.name + "}:*", Commands: []string{"ZADD"}}, refused[0])
	require.Contains(b, refused[1].Reason, "OOM")
	require.Empty(b, b.snapshot(), "nothing of what is tried stays")
}
