package producer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// told is how soon a message must have done its work.
const told = 100 * time.Millisecond

// keeper is a producer that keeps results.
func (w *office) keeper(c producer.LocalCache) *producer.Producer {
	w.Helper()
	if c == (producer.LocalCache{}) {
		c.Entries = 1000
	}
	return w.NewProducer(producer.Config{LocalCache: c})
}

// kept has the result of a call in the memory of a producer.
func (w *office) kept(p *producer.Producer, f refcache.Func[string, string], in string) refcache.Ref {
	w.Helper()
	res, err := producer.Call(w.Context(), p, f, in)
	require.NoError(w, err)
	require.True(w, res.IsComplete)
	time.Sleep(told) // the first use of the queue subscribes to its messages
	_, err = p.Get(w.Context(), res.RefID)
	require.NoError(w, err)
	return res.RefID
}

// asks returns how many scripts clients run during what is done.
func (w *office) asks(do func()) int {
	w.Helper()
	var n atomic.Int32
	w.Server.SetFaults(func(cmd []string) memredis.Fault {
		if cmd[0] == "EVALSHA" {
			n.Add(1)
		}
		return memredis.Pass
	})
	defer w.Server.SetFaults(nil)
	do()
	return int(n.Load())
}

func (w *office) valueIs(want string, p *producer.Producer, ref refcache.Ref) {
	w.Helper()
	res, err := producer.Get(w.Context(), p, kit.Echo, ref)
	require.NoError(w, err)
	require.Equal(w, want, res.Value)
}

func (w *office) isGone(p *producer.Producer, ref refcache.Ref) {
	w.Helper()
	_, err := p.Get(w.Context(), ref)
	require.ErrorIs(w, err, refcache.ErrTaskNotFound)
}

// complete has a worker run echo for each argument, and stop. The results tell which run of that worker they are of.
func (w *office) complete(p *producer.Producer, in ...string) {
	w.Helper()
	s := kit.Script{Numbered: true}
	wk := worker.New(w.Client(), worker.Config{Concurrency: 20, Logger: slog.New(slog.DiscardHandler)})
	s.Of(kit.Echo)(wk)
	ctx, stop := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() { ended <- wk.Run(ctx) }()
	for _, in := range in {
		_, err := producer.Call(w.Context(), p, kit.Echo, in)
		require.NoError(w, err)
	}
	stop()
	require.NoError(w, <-ended)
}

func TestKeptResultIsServedWithoutAskingRedis(t *testing.T) {
	inOffice(t, func(w *office) {
		w.complete(w.P, "hi")
		p := w.keeper(producer.LocalCache{})
		ref := w.kept(p, kit.Echo, "hi")
		want, err := w.P.Get(w.Context(), ref)
		require.NoError(w, err)
		require.Zero(w, w.asks(func() {
			res, err := p.Get(w.Context(), ref)
			require.NoError(w, err)
			require.Equal(w, want, res, "all that Redis would say")
			res, err = p.Wait(w.Context(), ref)
			require.NoError(w, err)
			require.Equal(w, want, res)
			w.valueIs("hi 1", p, ref)
			ended, err := producer.Wait(w.Context(), p, kit.Echo, ref)
			require.NoError(w, err)
			require.Equal(w, "hi 1", ended.Value)
			value, err := producer.Cached(p, kit.Echo)(w.Context(), "hi")
			require.NoError(w, err)
			require.Equal(w, "hi 1", value)
			call, err := producer.Call(w.Context(), p, kit.Echo, "hi", producer.RetryFailed())
			require.NoError(w, err)
			require.Equal(w, "hi 1", call.Value)
		}))
		require.EqualValues(w, 3, p.Counts()[0].Hits, "one was Redis's")
	})
}

func TestWithoutALocalCacheEveryReadAsksRedis(t *testing.T) {
	inOffice(t, func(w *office) {
		w.complete(w.P, "hi")
		for _, c := range []producer.LocalCache{{}, {Entries: -1, Bytes: -1}, {Entries: 1000, Stale: -1}} {
			p := w.NewProducer(producer.Config{LocalCache: c})
			ref := w.kept(p, kit.Once(kit.Echo), "hi")
			require.Equal(w, 2, w.asks(func() {
				w.valueIs("hi 1", p, ref)
				w.valueIs("hi 1", p, ref)
			}))
			require.Empty(w, w.Redis.PubSubChannels(w.Context(), "refq:{*}:dropped").Val())
		}
	})
}

func TestOnlyCompleteTasksAreKept(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown), nil}, Hold: make(chan struct{})}
		w.Work(s.Of(kit.Echo))
		p := w.keeper(producer.LocalCache{Entries: 10, Stale: time.Hour})
		status := func(ref refcache.Ref, want refcache.Status) {
			w.Helper()
			for range 2 {
				res, err := p.Get(w.Context(), ref)
				require.NoError(w, err)
				require.Equal(w, want, res.Status)
			}
		}
		ref, err := producer.Submit(w.Context(), p, kit.Echo, "hi")
		require.NoError(w, err)
		w.Until(ref, refcache.Processing)
		status(ref, refcache.Processing)
		s.Hold <- struct{}{}
		w.Until(ref, refcache.Failed)
		status(ref, refcache.Failed)
		_, err = w.P.Retry(w.Context(), ref)
		require.NoError(w, err)
		w.Until(ref, refcache.Processing)
		status(ref, refcache.Processing)
		s.Hold <- struct{}{}
		w.Until(ref, refcache.Complete)
		status(ref, refcache.Complete)

		w.Submit(kit.Echo, "hi", producer.Refresh()) // while it runs, the old value is not the whole answer
		w.Until(ref, refcache.Processing)
		status(ref, refcache.Processing)
		require.NoError(w, w.P.Cancel(w.Context(), ref))
		status(ref, refcache.Complete)
		w.Server.SetFaults(func([]string) memredis.Fault { return "ERR asked" })
		_, err = p.Get(w.Context(), ref)
		require.ErrorContains(w, err, "asked", "no message would come when the next refresh ends")
		w.Server.SetFaults(nil)
	})
}

func TestDeletedResultIsForgottenEverywhere(t *testing.T) {
	inOffice(t, func(w *office) {
		w.complete(w.P, "hi")
		ours, theirs := w.keeper(producer.LocalCache{}), w.keeper(producer.LocalCache{})
		ref := w.kept(ours, kit.Echo, "hi")
		require.Equal(w, ref, w.kept(theirs, kit.Echo, "hi"))
		require.NoError(w, ours.Delete(w.Context(), ref))
		w.isGone(ours, ref) // at once
		synctest.Wait()     // no time passes, but messages arrive
		w.isGone(theirs, ref)
	})
}

func TestRefreshedResultIsForgottenEverywhere(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		w.Work(s.Of(kit.Echo))
		ours, theirs := w.keeper(producer.LocalCache{}), w.keeper(producer.LocalCache{})
		ref := w.kept(ours, kit.Echo, "hi")
		require.Equal(w, ref, w.kept(theirs, kit.Echo, "hi"))
		res, err := producer.Call(w.Context(), ours, kit.Echo, "hi", producer.Refresh())
		require.NoError(w, err)
		require.Equal(w, "hi 2", res.Value)
		w.valueIs("hi 2", ours, ref)
		synctest.Wait()
		w.valueIs("hi 2", theirs, ref)
	})
}

func TestARefreshIsAskedForAlthoughTheResultIsKept(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		w.Work(s.Of(kit.Echo))
		w.deafen() // else a message might hide that it is not
		p := w.keeper(producer.LocalCache{Entries: 10, Stale: time.Hour})
		w.kept(p, kit.Echo, "hi")
		for _, want := range []string{"hi 2", "hi 3"} {
			res, err := producer.Call(w.Context(), p, kit.Echo, "hi", producer.Refresh())
			require.NoError(w, err)
			require.Equal(w, want, res.Value)
		}
		_, err := producer.Submit(w.Context(), p, kit.Echo, "hi", producer.Refresh())
		require.NoError(w, err)
		res, err := producer.Call(w.Context(), p, kit.Echo, "hi")
		require.NoError(w, err)
		require.True(w, res.Refreshing || res.Value == "hi 4", "not what was true before")
	})
}

func TestSubmitAlwaysAsksRedis(t *testing.T) {
	inOffice(t, func(w *office) {
		w.complete(w.P, "hi")
		p := w.keeper(producer.LocalCache{})
		ref := w.kept(p, kit.Echo, "hi")
		require.NoError(w, w.Redis.FlushAll(w.Context()).Err()) // says nothing
		again, err := producer.Submit(w.Context(), p, kit.Echo, "hi")
		require.NoError(w, err)
		require.Equal(w, ref, again)
		require.Equal(w, refcache.Pending, w.Info(ref).Status)
	})
}

// deafen keeps the messages about results from all producers.
func (w *office) deafen() {
	w.Server.SetFaults(func(cmd []string) memredis.Fault {
		if strings.HasSuffix(strings.ToUpper(cmd[0]), "SUBSCRIBE") && strings.Contains(strings.Join(cmd[1:], " "), ":dropped") {
			return "NOPERM no channels for you"
		}
		return memredis.Pass
	})
}

func TestWithoutMessagesNothingIsOlderThanStale(t *testing.T) {
	for _, c := range []producer.LocalCache{{Entries: 10}, {Entries: 10, Stale: 20 * time.Second}} {
		t.Run(fmt.Sprint(c.Stale), func(t *testing.T) {
			inOffice(t, func(w *office) {
				w.complete(w.P, "hi")
				w.deafen()
				p := w.keeper(c)
				stale := max(c.Stale, time.Second)
				for range 10 {
					ref := w.kept(p, kit.Echo, "hi")
					read := time.Now()
					require.NoError(w, w.P.Delete(w.Context(), ref))
					time.Sleep(stale/2 - time.Since(read))
					w.valueIs("hi 1", p, ref)
					time.Sleep(stale - time.Since(read))
					w.isGone(p, ref)
					w.complete(w.P, "hi")
				}
			})
		})
	}
}

func TestKeptResultExpiresWithItsRecord(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		w.Work(s.Of(kit.Echo))
		p := w.keeper(producer.LocalCache{Entries: 10, Stale: time.Hour})
		f := kit.Echo
		f.TTL = 5 * time.Second
		ref := w.kept(p, f, "hi")
		expires := *w.Info(ref).ExpiresAt
		time.Sleep(time.Until(expires) - 2*time.Millisecond)
		require.Zero(w, w.asks(func() { w.valueIs("hi 1", p, ref) }))
		time.Sleep(2 * time.Millisecond)
		w.isGone(p, ref)
		res, err := producer.Call(w.Context(), p, f, "hi")
		require.NoError(w, err)
		require.Equal(w, "hi 2", res.Value)
	})
}

// after is a hook that does something when a command was answered, before anybody sees the answer.
type after func(cmd redis.Cmder)

func (after) DialHook(next redis.DialHook) redis.DialHook { return next }
func (after) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (do after) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		do(cmd)
		return err
	}
}

// hooked is a producer that keeps results, with a hook on its client.
func (w *office) hooked(c producer.LocalCache, do after) *producer.Producer {
	rdb := w.Client()
	rdb.(*redis.Client).AddHook(do)
	p := producer.New(rdb, producer.Config{LocalCache: c})
	w.Cleanup(func() { require.NoError(w, p.Close()) })
	return p
}

var millis = regexp.MustCompile(`^[0-9]{12,13}$`)

// A clock that is wrong by an hour would else keep results for an hour too long, or not at all.
func TestTheClockOfRedisMayBeWrong(t *testing.T) {
	for _, wrong := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			inOffice(t, func(w *office) {
				w.complete(w.P, "other")
				f := kit.Echo
				f.TTL = 5 * time.Second
				p := w.hooked(producer.LocalCache{Entries: 10, Stale: 2 * time.Hour}, func(cmd redis.Cmder) {
					answer, ok := cmd.(*redis.Cmd)
					if !ok {
						return
					}
					values, _ := answer.Val().([]any)
					if len(values) == 0 {
						return
					}
					record, _ := values[0].([]any)
					for i, value := range record {
						if text, _ := value.(string); millis.MatchString(text) {
							ms, _ := strconv.ParseInt(text, 10, 64)
							record[i] = strconv.FormatInt(ms+wrong.Milliseconds(), 10)
						}
					}
				})
				var s kit.Script
				w.Work(s.Of(kit.Echo))
				ref := w.kept(p, f, "hi")
				time.Sleep(4 * time.Second)
				require.Zero(w, w.asks(func() { w.valueIs("hi!", p, ref) }))
				time.Sleep(time.Second)
				w.isGone(p, ref)
			})
		})
	}
}

// What is read before a message comes and arrives after it must not be kept.
func TestAReadInFlightDoesNotBringBackWhatIsDropped(t *testing.T) {
	inOffice(t, func(w *office) {
		w.complete(w.P, "hi")
		var hold atomic.Bool
		answered, goOn := make(chan struct{}), make(chan struct{})
		p := w.hooked(producer.LocalCache{Entries: 10, Stale: time.Hour}, func(cmd redis.Cmder) {
			if strings.HasPrefix(cmd.Name(), "eval") && cmd.Err() == nil && hold.CompareAndSwap(true, false) {
				answered <- struct{}{}
				<-goOn
			}
		})
		ref := w.kept(p, kit.Echo, "hi")
		for name, read := range map[string]func() string{
			"by ref_id": func() string {
				res, err := producer.Get(w.Context(), p, kit.Echo, ref)
				require.NoError(w, err)
				return res.Value
			},
			"by arguments": func() string {
				res, err := producer.Call(w.Context(), p, kit.Echo, "hi")
				require.NoError(w, err)
				return res.Value
			},
		} {
			require.NoError(w, w.P.Delete(w.Context(), ref))
			synctest.Wait()
			w.isGone(p, ref)
			w.complete(w.P, "hi")

			hold.Store(true)
			var reading sync.WaitGroup
			reading.Go(func() { require.Equal(w, "hi 1", read(), name) })
			<-answered // Redis has told the result, and then forgets it
			require.NoError(w, w.P.Delete(w.Context(), ref))
			synctest.Wait()
			goOn <- struct{}{}
			reading.Wait()
			w.isGone(p, ref)
			w.complete(w.P, "hi")
		}
	})
}

// While nobody listens messages are missed, so what was kept before is worth nothing afterwards.
func TestANewConnectionOfTheSubscriptionDropsAll(t *testing.T) {
	inOffice(t, func(w *office) {
		w.complete(w.P, "hi")
		p := w.keeper(producer.LocalCache{Entries: 10, Stale: time.Hour})
		ref := w.kept(p, kit.Echo, "hi")
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			switch {
			case cmd[0] == "PING": // by which the client finds out whether it is still connected
				return memredis.DropRequest
			case strings.HasSuffix(strings.ToUpper(cmd[0]), "SUBSCRIBE"):
				return memredis.DropRequest
			}
			return memredis.Pass
		})
		time.Sleep(10 * time.Second)
		require.NoError(w, w.P.Delete(w.Context(), ref))
		time.Sleep(time.Second)
		w.valueIs("hi 1", p, ref) // as was said: no message, an hour
		w.Server.SetFaults(nil)
		time.Sleep(2 * time.Second) // it tries once a second
		w.isGone(p, ref)
	})
}

func TestOneCallerRenewsWhatIsGettingOld(t *testing.T) {
	inOffice(t, func(w *office) {
		w.complete(w.P, "hi")
		p := w.keeper(producer.LocalCache{})
		ref := w.kept(p, kit.Echo, "hi")
		began := time.Now()
		for time.Since(began) < time.Minute {
			time.Sleep(told)
			require.LessOrEqual(w, w.asks(func() {
				var all sync.WaitGroup
				for range 50 {
					all.Go(func() { w.valueIs("hi 1", p, ref) })
				}
				all.Wait()
			}), 1)
		}
	})
}

func TestWhatOneCallerFindsOutIsTrueForAll(t *testing.T) {
	inOffice(t, func(w *office) {
		w.complete(w.P, "hi")
		w.deafen()
		p := w.keeper(producer.LocalCache{})
		ref := w.kept(p, kit.Echo, "hi")
		require.NoError(w, w.P.Delete(w.Context(), ref))
		time.Sleep(800 * time.Millisecond)
		w.isGone(p, ref) // it was one's turn to look
		w.isGone(p, ref)

		w.complete(w.P, "hi")
		w.kept(p, kit.Echo, "hi")
		w.Submit(kit.Echo, "hi", producer.Refresh())
		time.Sleep(800 * time.Millisecond)
		for range 2 {
			res, err := producer.Call(w.Context(), p, kit.Echo, "hi")
			require.NoError(w, err)
			require.True(w, res.Refreshing)
		}
	})
}

func TestEverybodyGetsAValueOfTheirOwn(t *testing.T) {
	inOffice(t, func(w *office) {
		type notes map[string][]int
		f := refcache.Func[string, notes]{Name: "notes", AsyncTimeout: time.Minute}
		w.Work(func(w *worker.Worker) {
			worker.Handle(w, f, func(context.Context, string) (notes, error) { return notes{"a": {1, 2}}, nil })
		})
		p := w.keeper(producer.LocalCache{Entries: 10, Stale: time.Hour})
		var ref refcache.Ref
		for range 3 {
			res, err := producer.Call(w.Context(), p, f, "hi")
			require.NoError(w, err)
			require.Equal(w, notes{"a": {1, 2}}, res.Value)
			require.WithinRange(w, *res.ExpiresAt, time.Now(), time.Now().Add(25*time.Hour))
			res.Value["a"][0] = 9
			*res.ExpiresAt, *res.CompletedAt, *res.StartedAt = time.Time{}, time.Time{}, time.Time{}
			ref = res.RefID
			time.Sleep(told)
		}
		for range 3 {
			res, err := p.Get(w.Context(), ref)
			require.NoError(w, err)
			require.Equal(w, json.RawMessage(`{"a":[1,2]}`), res.Value)
			require.WithinRange(w, *res.ExpiresAt, time.Now(), time.Now().Add(25*time.Hour))
			clear(res.Value)
			*res.ExpiresAt = time.Time{}
		}
	})
}

func TestAtMostSoManyEntriesAreKept(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		var in []string
		for n := range 100 {
			in = append(in, fmt.Sprint(n, strings.Repeat("x", 1000)))
		}
		w.complete(w.P, in...)
		for _, c := range []struct {
			producer.LocalCache
			least, most int
		}{
			{producer.LocalCache{Entries: 10}, 5, 10},
			{producer.LocalCache{Entries: 10, Bytes: 1 << 30}, 5, 10},
			{producer.LocalCache{Bytes: 40_000}, 8, 20}, // each is 1 KB, and more that belongs to it
			{producer.LocalCache{Entries: 50, Bytes: 40_000}, 8, 20},
			{producer.LocalCache{Bytes: 900}, 0, 0},
			{producer.LocalCache{Entries: 1000}, 100, 100},
		} {
			c.Stale = time.Hour
			p := w.keeper(c.LocalCache)
			w.kept(p, kit.Echo, in[0])
			for range 3 {
				for _, in := range in {
					_, err := producer.Call(w.Context(), p, kit.Echo, in)
					require.NoError(w, err)
				}
				synctest.Wait() // what is too much goes in the background
			}
			w.Server.SetFaults(func([]string) memredis.Fault { return "ERR asked" })
			kept := 0
			for _, in := range in {
				if _, err := producer.Call(w.Context(), p, kit.Echo, in); err == nil {
					kept++
				}
			}
			w.Server.SetFaults(nil)
			require.LessOrEqual(w, kept, c.most, c)
			require.GreaterOrEqual(w, kept, c.least, c)
		}
	})
}

func TestAClosedProducerKeepsNothing(t *testing.T) {
	inOffice(t, func(w *office) {
		w.complete(w.P, "hi")
		rdb := w.Client()
		p := producer.New(rdb, producer.Config{LocalCache: producer.LocalCache{Entries: 10, Stale: time.Hour}})
		ref := w.kept(p, kit.Echo, "hi")
		require.NoError(w, p.Close())
		for range 2 {
			require.Equal(w, 1, w.asks(func() { w.valueIs("hi 1", p, ref) }))
		}
	})
}

// One connection hears of all queues, and each queue is named to Redis once.
func TestOneSubscriptionServesAllQueues(t *testing.T) {
	inOffice(t, func(w *office) {
		a, b := kit.Echo, kit.Echo
		a.Queue, b.Queue, b.Name = "a", "b", "echo-b"
		var s kit.Script
		w.Work(s.Of(a), s.Of(b))
		var mu sync.Mutex
		var subscribed []string
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if strings.EqualFold(cmd[0], "SUBSCRIBE") && strings.HasSuffix(cmd[1], ":dropped") {
				mu.Lock()
				defer mu.Unlock()
				subscribed = append(subscribed, cmd[1:]...)
			}
			return memredis.Pass
		})
		p := w.keeper(producer.LocalCache{})
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() {
				for _, f := range []refcache.Func[string, string]{a, b} {
					_, err := producer.Call(w.Context(), p, f, fmt.Sprint(n))
					require.NoError(w, err)
				}
			})
		}
		all.Wait()
		mu.Lock()
		defer mu.Unlock()
		require.ElementsMatch(w, []string{"refq:{a}:dropped", "refq:{b}:dropped"}, subscribed)
	})
}
