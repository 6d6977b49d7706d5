package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

// Each script with a fast path does with it what it does without: in every situation, whatever stands in the record and
// around it, and on random records. What is compared are the replies, all keys of the queue with their expiry, and the
// messages.
func TestFastAndFullPathsAgree(t *testing.T) {
	testkit.Long(t)
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			q, _ := bubble(t)
			options := *q.rdb.(*redis.Client).Options()
			options.AutoPipelineOptions = nil // what is in a pipe cannot be rewritten
			agree(q, &options, 0)
		})
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		server := testkit.New(t, "--save", "")
		options := testkit.Options(server.Addr)
		rdb := redis.NewClient(options)
		t.Cleanup(func() { _ = rdb.Close() })
		agree(newQueue(t, rdb), options, time.Second)
	})
}

func agree(q *queue, options *redis.Options, accuracy time.Duration) {
	p := newPaths(q, options, accuracy)
	situations := p.situations()
	for _, s := range situations {
		for n, v := range variations {
			p.restore(s.before)
			v.change(p.queue, s.task)
			before, commands := p.snapshot(), pathCommands
			if n > 0 {
				if reflect.DeepEqual(s.before, before) {
					continue // it changes nothing here
				}
				commands = slices.DeleteFunc(slices.Clone(commands), func(c pathCommand) bool { return c.rare })
			}
			for _, c := range commands {
				p.compare(q, fmt.Sprintf("%s when %s, %s", c.name, s.name, v.name), before, func(q *queue) { c.send(q, s.task) })
			}
		}
	}
	p.requireTaken()
	for range 10 { // each has 100
		rapid.Check(q, func(t *rapid.T) {
			s := rapid.SampledFrom(situations).Draw(t, "situation")
			p.restore(s.before)
			p.meddle(t, s.task)
			commands := pathCommands
			if script, found := fitting[s.task.seen.Status]; found && rapid.Bool().Draw(t, "fitting") {
				commands = slices.DeleteFunc(slices.Clone(commands), func(c pathCommand) bool { return !strings.HasPrefix(c.name, script) })
			}
			c := rapid.SampledFrom(commands).Draw(t, "command")
			p.compare(t, fmt.Sprintf("%s when %s", c.name, s.name), p.snapshot(), func(q *queue) { c.send(q, s.task) })
		})
	}
	if testkit.Rounds(100) == 100 { // fewer may by chance leave one out
		p.requireTaken()
	}
}

// fitting are the scripts whose fast path is about a status.
var fitting = map[refcache.Status]string{none: "submit", refcache.Pending: "claim", refcache.Processing: "finish", refcache.Complete: "submit"}

// pathCommand is a command whose script has a fast path. What it comes to is compared as Redis says it.
type pathCommand struct {
	name string // its script, and what else is asked
	send func(q *queue, k task)
	rare bool // it meets no variations but those that are drawn
}

var pathCommands = []pathCommand{
	{"submit", submits(store.Submission{Request: "r1"}), true},
	{"submit, retry failed", submits(store.Submission{Request: "r2", RetryFailed: true}), true},
	{"submit, refresh", submits(store.Submission{Request: "r3", Refresh: true}), false},
	{"submit with inbox", submits(store.Submission{Request: "r4", Inbox: "refq:inbox:r4"}), true},
	{"submit with trace", submits(store.Submission{Request: "r5", Inbox: "refq:inbox:r4", Trace: "00-trace"}), false},
	{"submit with a max age", submits(store.Submission{Request: "r6", MaxAge: time.Hour}), false},
	{"submit with fresh", submits(store.Submission{Request: "r7", Inbox: "refq:inbox:r4", Fresh: time.Hour}), false},
	{"submit with both", submits(store.Submission{Request: "r8", MaxAge: time.Hour, Fresh: time.Minute}), true},
	{"submit by key", submits(store.Submission{Request: "r9", KeyConflict: refcache.KeyJoin}), true},
	{"submit by key, or refused", submits(store.Submission{Request: "r10", KeyConflict: refcache.KeyRefuse}), true},
	{"submit with stamps", submits(store.Submission{Request: "r11", Inbox: "refq:inbox:r4", Stamps: []string{"n:default", "t:default complete"}}), false},
	{"submit with stamps and fresh", submits(store.Submission{Request: "r12", Stamps: []string{"n:default"}, Fresh: time.Hour}), true},
	{"submit, sent again", func(q *queue, k task) {
		record, _ := storetest.Read(q.Context(), q.rdb, q.record(k.ref))
		submits(store.Submission{Request: record["req"], Inbox: "refq:inbox:r4"})(q, k)
	}, true},
	{"claim", func(q *queue, k task) { _, _ = q.Claim(q.Context(), k.ref, "next", "w2") }, true},
	{"claim, unsuspected", func(q *queue, k task) { _, _ = q.ClaimUnsuspected(q.Context(), k.ref, "next", "w2", "") }, false},
	{"claim, sent again", func(q *queue, k task) { _, _ = q.Claim(q.Context(), k.ref, k.token, k.worker) }, true},
	{"finish, complete", finishes([]byte("1")), false},
	{"finish, empty", finishes(nil), true},
	{"finish, encoded", finishes(bytes.Repeat([]byte("long"), 1000)), true},
	{"finish, too long to push", finishes(noise), false},
	{"finish, error", func(q *queue, k task) { _, _ = q.Finish(q.Context(), k.ref, k.token, store.Errored(failure())) }, true},
	{"finish, permanent", func(q *queue, k task) { _, _ = q.Finish(q.Context(), k.ref, k.token, store.Errored(permanent())) }, true},
	{"finish, release", func(q *queue, k task) { _, _ = q.Finish(q.Context(), k.ref, k.token, store.Released("", "w1")) }, true},
	{"finish, void", func(q *queue, k task) { _, _ = q.Finish(q.Context(), k.ref, "void", q.Completed([]byte("1"))) }, true},
}

// noise is a result that cannot be compressed and is too long to go along with the message of the end.
var noise = func() []byte {
	text := make([]byte, 9<<10)
	_, _ = rand.Read(text) // never fails
	return text
}()

func submits(c store.Submission) func(q *queue, k task) {
	return func(q *queue, k task) {
		c := c
		c.Namespace, c.Policy, c.Args = "default", q.policy(), []byte(`{"n":1}`)
		_, _ = q.Submit(q.Context(), k.ref, c)
	}
}

func finishes(result []byte) func(q *queue, k task) {
	return func(q *queue, k task) { _, _ = q.Finish(q.Context(), k.ref, k.token, q.Completed(result)) }
}

// variations are what a command may meet besides a status.
var variations = []struct {
	name   string
	change func(q *queue, k task)
}{
	{"as it is", func(*queue, task) {}},
	{"one waiter", writes("waiters", "refq:inbox:a")},
	{"two waiters", writes("waiters", "refq:inbox:a,refq:inbox:b")},
	{"the waiter that asks", writes("waiters", "refq:inbox:r4")},
	{"trace", writes("trace", "00-old")},
	{"note", writes("note", "x")},
	{"progress", writes("progress", `{"c":1}`)},
	{"encoding", writes("result", "x", "result_encoding", "zstd")},
	{"old result", writes("result", "x")},
	{"last error", writes("last_error", "boom")},
	{"a later cycle", writes("cycle", "2", "delivery", "3", "attempt", "4", "waiters", "refq:inbox:a")},
	{"lost workers", writes("lost_count", "2", "retry_count", "1", "hist_n", "3", "event_n", "1")},
	{"updated", writes("updated_at", "1764000000000")},
	{"started long ago", writes("started_at", "1764000000000")},
	{"never started", writes("started_at", "")},
	{"a policy of its own", writes("max_retries", "1", "ttl", "60000", "failure_ttl", "70000", "retry_jitter", "0.25", "backoff", "slow")},
	{"a newer record", writes("v", fmt.Sprint(store.RecordVersion+1))},
	{"leading zeros", writes("cycle", "02", "attempt", "01", "ttl", "060000", "waiters", "refq:inbox:a")},
	{"a ttl with a leading zero", writes("ttl", "060000")},
	{"no cycle", writes("cycle", "0", "waiters", "refq:inbox:a")},
	{"long numbers", writes("cycle", "123456789012345", "waiters", "refq:inbox:a")},
	{"too long numbers", writes("delivery", "1234567890123456")},
	{"damaged number", writes("attempt", "x")},
	{"damaged time", writes("created_at", "soon")},
	{"damaged status", writes("status", "odd")},
	{"damaged factor", writes("retry_backoff_factor", ".5")},
	{"damaged jitter", writes("retry_jitter", "0.x")},
	{"too long policy", writes("ttl", "1234567890123456")},
	{"no function", writes("func", "")},
	{"no creation", writes("created_at", "")},
	{"no token", writes("token", "")},
	{"no state", removes("state")},
	{"no policy", removes("policy")},
	{"no args", removes("args")},
	{"no result", removes("result")},
	{"args alone", func(q *queue, k task) {
		q.rdb.Del(q.Context(), q.record(k.ref))
		q.rdb.HSet(q.Context(), q.record(k.ref), "args", "{}")
	}},
	{"short state", writes("state", ",pending,")},
	{"a stamp of now", stamped("t:default complete", 0)},
	{"a stamp of long ago", stamped("n:default", time.Hour)},
	{"another's stamp", stamped("n:bank", 0)},
	{"a floor of now", stamped("floor", 0)},
	{"no hash", foreignKey("t")},
	{"stamps that are not ours", foreignKey("stamps")},
	{"sweeps that are not ours", foreignKey("sweep")},
	{"pending that is not ours", foreignKey("pending")},
	{"completions that are not ours", foreignKey("completions")},
	{"workers that are not ours", foreignKey("workers")},
	{"claims of w1 that are not ours", foreignKey("claims:w1")},
	{"claims of w2 that are not ours", foreignKey("claims:w2")},
	{"a claim of another attempt", func(q *queue, k task) {
		q.rdb.HSet(q.Context(), q.claims("w1"), k.ref.Hash(), "another")
	}},
}

// writes changes a record, if there is one.
func writes(pairs ...any) func(q *queue, k task) {
	return func(q *queue, k task) {
		if q.rdb.Exists(q.Context(), q.record(k.ref)).Val() == 1 {
			q.set(k.ref, pairs...)
		}
	}
}

// stamped sets a stamp, unless the key is not ours.
func stamped(name string, ago time.Duration) func(q *queue, k task) {
	return func(q *queue, _ task) {
		q.rdb.ZAdd(q.Context(), q.key("stamps"), redis.Z{Score: float64(q.now().Add(-ago).UnixMilli()), Member: name})
	}
}

func removes(name string) func(q *queue, k task) {
	return func(q *queue, k task) {
		require.NoError(q, storetest.Remove(q.Context(), q.rdb, q.record(k.ref), name))
	}
}

// foreignKey puts a text in the place of one of the queue's keys; "t" is the record.
func foreignKey(name string) func(q *queue, k task) {
	return func(q *queue, k task) {
		key := q.key(name)
		if name == "t" {
			key = q.record(k.ref)
		}
		require.NoError(q, q.rdb.Set(q.Context(), key, "x", 0).Err())
	}
}

// paths runs commands by both forms of their scripts.
type paths struct {
	*queue      // what is compared; its scripts are not touched
	whole, full *rewritten
	messages    *redis.PubSub
	end         string        // the channel of a message that is the last
	accuracy    time.Duration // of expiry
	taken       string        // key of how often each fast path has answered
}

func newPaths(q *queue, options *redis.Options, accuracy time.Duration) *paths {
	p := &paths{queue: q, accuracy: accuracy, taken: "taken:" + q.name}
	time := fmt.Sprintf("{'%d', '123456'}", q.now().Unix()+3600) // retries are due then
	counting := map[string]string{"submit": "'submit ' .. answer[4]", "claim": "'claim'", "finish": "'finish'"}
	texts := [2]map[string]string{{}, {}}
	for name := range store.ScriptSources() {
		if store.HasFastPath(name) {
			count := fmt.Sprintf("redis.call('HINCRBY', '%s', %s, 1)", p.taken, counting[name])
			texts[0][name], texts[1][name] = store.PathsOf(name, time, count)
		}
	}
	require.Len(q, texts[0], 3)
	p.whole, p.full = newRewritten(q, redis.NewClient(options), texts[0]), newRewritten(q, redis.NewClient(options), texts[1])
	p.end = store.InboxChannel(q.name, "end")
	p.messages = q.hear(p.end, store.InboxChannel(q.name, "a"), store.InboxChannel(q.name, "b"), store.InboxChannel(q.name, "r4"),
		store.DropsChannel(q.name), store.CancelChannel(q.name, "w1"), store.CancelChannel(q.name, "w2"))
	return p
}

// rewritten is the queue over a client that sends other texts for some scripts, and keeps what Redis answers to them.
type rewritten struct {
	*queue
	texts   map[string]string // by name
	replies []string
}

func newRewritten(q *queue, rdb redis.UniversalClient, texts map[string]string) *rewritten {
	q.Cleanup(func() { _ = rdb.Close() })
	r := &rewritten{texts: texts}
	rdb.AddHook(r)
	r.queue = &queue{q.T, store.New(rdb), q.rdb, q.name, 0}
	return r
}

func (r *rewritten) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *rewritten) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (r *rewritten) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		args := cmd.Args()
		if args[0] != "evalsha" {
			return next(ctx, cmd)
		}
		args[0], args[1] = "eval", r.texts[store.ScriptName(args[1].(string))]
		err := next(ctx, cmd)
		r.replies = append(r.replies, fmt.Sprintf("%#v", cmd.(interface{ Val() any }).Val()), ofError(err))
		return err
	}
}

// ofError is the text of an error without the place in the script.
func ofError(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if i := strings.Index(text, "WRONGTYPE "); i >= 0 {
		text = text[i:] // what is before it differs from Redis to Redis
	}
	text, _, _ = strings.Cut(text, " stack traceback")
	text, _, _ = strings.Cut(text, " script: ")
	return lineNumber.ReplaceAllString(text, "")
}

var lineNumber = regexp.MustCompile(`:\d+:`)

// kept is a key of the queue as it stands.
type kept struct {
	kind    string
	values  []string
	expires time.Duration // 0: it does not
}

type snapshot map[string]kept

func (q *queue) snapshot() snapshot {
	ctx := q.Context()
	keys, err := q.rdb.Keys(ctx, q.key("*")).Result()
	require.NoError(q, err)
	pipe := q.rdb.Pipeline()
	kinds, expiries, values := map[string]*redis.StatusCmd{}, map[string]*redis.DurationCmd{}, map[string]func() []string{}
	for _, key := range keys {
		kinds[key], expiries[key] = pipe.Type(ctx, key), pipe.PTTL(ctx, key)
	}
	_, err = pipe.Exec(ctx)
	require.NoError(q, err)
	for _, key := range keys {
		values[key] = reading(ctx, pipe, kinds[key].Val(), key)
	}
	_, err = pipe.Exec(ctx)
	require.NoError(q, err)
	all := snapshot{}
	for _, key := range keys {
		all[key] = kept{kinds[key].Val(), values[key](), max(0, expiries[key].Val())}
	}
	return all
}

// reading reads a key in a pipeline. After that it gives its values: those of a hash as name=value, in order, of a
// sorted set as member=score.
func reading(ctx context.Context, pipe redis.Pipeliner, kind, key string) func() []string {
	switch kind {
	case "hash":
		cmd := pipe.HGetAll(ctx, key)
		return func() (texts []string) {
			for name, value := range cmd.Val() {
				texts = append(texts, name+"="+value)
			}
			slices.Sort(texts)
			return texts
		}
	case "zset":
		cmd := pipe.ZRangeWithScores(ctx, key, 0, -1)
		return func() (texts []string) {
			for _, z := range cmd.Val() {
				texts = append(texts, fmt.Sprintf("%s=%.0f", z.Member, z.Score))
			}
			return texts
		}
	case "set":
		return pipe.SMembers(ctx, key).Val
	case "list":
		return pipe.LRange(ctx, key, 0, -1).Val
	}
	cmd := pipe.Get(ctx, key)
	return func() []string { return []string{cmd.Val()} }
}

// restore brings the queue back to a state.
func (q *queue) restore(s snapshot) {
	ctx := q.Context()
	keys, err := q.rdb.Keys(ctx, q.key("*")).Result()
	require.NoError(q, err)
	pipe := q.rdb.Pipeline()
	pipe.Del(ctx, append(keys, "none")...)
	for key, k := range s {
		switch k.kind {
		case "hash":
			var pairs []string
			for _, text := range k.values {
				name, value, _ := strings.Cut(text, "=")
				pairs = append(pairs, name, value)
			}
			pipe.HSet(ctx, key, pairs)
		case "zset":
			for _, text := range k.values {
				member, score, _ := strings.Cut(text, "=")
				pipe.Do(ctx, "ZADD", key, score, member)
			}
		case "set":
			pipe.SAdd(ctx, key, k.values)
		case "list":
			pipe.RPush(ctx, key, k.values)
		case "string":
			pipe.Set(ctx, key, k.values[0], 0)
		}
		if k.expires > 0 {
			pipe.PExpire(ctx, key, k.expires)
		}
	}
	_, err = pipe.Exec(ctx)
	require.NoError(q, err)
}

// told are the messages since it was last asked.
func (p *paths) told() []string {
	p.say(p.end, "")
	var all []string
	for {
		m, err := p.messages.ReceiveMessage(p.Context())
		require.NoError(p, err)
		if m.Channel == p.end {
			return all
		}
		all = append(all, m.Channel+": "+m.Payload)
	}
}

// compare sends a command by each form of its script to the same state of the queue. k is its task.
func (p *paths) compare(t require.TestingT, what string, before snapshot, send func(q *queue)) {
	run := func(r *rewritten) (replies, messages []string, after snapshot) {
		p.restore(before)
		r.replies = nil
		send(r.queue)
		return r.replies, p.told(), p.snapshot()
	}
	fullReplies, fullMessages, full := run(p.full)
	replies, messages, whole := run(p.whole)
	require.NotEmpty(t, fullReplies, what)
	require.Empty(t, cmp.Diff(fullReplies, replies), "replies: %s", what)
	require.Empty(t, cmp.Diff(fullMessages, messages), "messages: %s", what)
	for key, k := range whole {
		if other := full[key]; (k.expires > 0) == (other.expires > 0) && (k.expires-other.expires).Abs() <= p.accuracy {
			k.expires = other.expires
			whole[key] = k
		}
	}
	require.Empty(t, cmp.Diff(full, whole, cmp.AllowUnexported(kept{})), "keys: %s", what)
}

// requireTaken requires that each fast path has answered since it was last asked.
func (p *paths) requireTaken() {
	taken, err := p.rdb.HGetAll(p.Context(), p.taken).Result()
	require.NoError(p, err)
	p.Log("fast paths taken:", taken)
	require.ElementsMatch(p, []string{"submit 1", "submit 0", "claim", "finish"}, slices.Collect(maps.Keys(taken)))
	require.NoError(p, p.rdb.Del(p.Context(), p.taken).Err())
}

// pathSituation is a state of the queue with one task.
type pathSituation struct {
	name   string
	task   task
	before snapshot
}

func (p *paths) situations() []pathSituation {
	var all []pathSituation
	for _, s := range situations {
		p.restore(nil)
		k := s.build(p.queue)
		all = append(all, pathSituation{s.name, k, p.snapshot()})
	}
	p.told() // of how they came to be
	return all
}

// meddle changes up to three things in the record of a task, and in what stands around it.
func (p *paths) meddle(t *rapid.T, k task) {
	words := slices.Concat(slices.Collect(maps.Values(store.PackedWords()))...)
	slices.Sort(words)
	names := slices.Concat(words, []string{"last_error", "note", "progress", "args", "trace", "result", "result_encoding"})
	values := rapid.SampledFrom([]string{"", "0", "1", "2", "7", "02", "00", "15", "1764000000000", "123456789012345", "999999999999999",
		"1234567890123456", "-1", "1.5", ".5", "0.", "x", "complete", "pending", "processing", "retrying", "w1", "w2", "next", "refq:inbox:a",
		"refq:inbox:a,refq:inbox:b", k.token, "r1"})
	for range rapid.SampledFrom([]int{0, 1, 1, 2, 3}).Draw(t, "changes") {
		if rapid.IntRange(0, 3).Draw(t, "variation?") == 0 {
			v := rapid.SampledFrom(variations).Draw(t, "variation")
			if p.rdb.Type(p.Context(), p.record(k.ref)).Val() != "string" && !strings.HasPrefix(v.name, "claim") {
				v.change(p.queue, k)
			}
			continue
		}
		name, value := rapid.SampledFrom(names).Draw(t, "name"), values.Draw(t, "value")
		if shortTime.MatchString(value) && strings.HasSuffix(name, "ttl") {
			value += "000000" // or the record would expire while it is compared
		}
		if p.rdb.Type(p.Context(), p.record(k.ref)).Val() == "hash" {
			p.set(k.ref, name, value)
		}
	}
}

var shortTime = regexp.MustCompile(`^0*[1-9]\d?$`)
