package worker_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestWorkerRefusesAConfigThatCannotWork(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:0"})
	defer rdb.Close()
	for want, c := range map[string]worker.Config{
		"worker: concurrency is -1, must be at least 1":     {Concurrency: -1},
		"worker: backoff polite is nil, must be a function": {Backoffs: map[string]func(int, error) time.Duration{"polite": nil}},
		`worker: backoff: name "so so": use letters, digits and ._/- (first a letter or digit), at most 128`: {
			Backoffs: map[string]func(int, error) time.Duration{"so so": func(int, error) time.Duration { return 0 }}},
		"worker: max_result is -1 bytes, must be 1 to 67108864":            {MaxResult: -1},
		"worker: max_result is 67108865 bytes, must be 1 to 67108864":      {MaxResult: 64<<20 + 1},
		"worker: no functions to handle: register some with worker.Handle": {},
	} {
		w := worker.New(rdb, c)
		if c.Concurrency != 0 || c.MaxResult != 0 {
			world.Handles(work, failing(0).run)(w)
		}
		require.EqualError(t, w.Run(t.Context()), want)
	}
}

func TestRunIsForOnce(t *testing.T) {
	inHouse(t, func(w *house) {
		second := worker.New(w.Redis, worker.Config{Logger: slog.New(slog.DiscardHandler)})
		world.Handles(work, failing(0).run)(second)
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		require.NoError(w, second.Run(ctx), "it stops as soon as it has started")
		require.EqualError(w, second.Run(ctx), "worker: Run was called before: make a new worker")
		require.PanicsWithValue(w, "worker.Handle: late comes too late: Run was called before", func() {
			worker.Handle(second, refcache.Func[string, string]{Name: "late"}, func(context.Context, string) (string, error) { return "", nil })
		})
	})
}

func TestHandleRefusesWhatNobodyCouldCall(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:0"})
	defer rdb.Close()
	w := worker.New(rdb, worker.Config{})
	fn := func(context.Context, string) (string, error) { return "", nil }
	worker.Handle(w, work, fn)
	require.PanicsWithValue(t, "worker.Handle: function work@1 is handled already", func() { worker.Handle(w, work, fn) })
	require.PanicsWithValue(t, "worker.Handle: function a: ttl is 1ms, must be at least 1s", func() {
		worker.Handle(w, refcache.Func[string, string]{Name: "a", TTL: time.Millisecond}, fn)
	})
	require.PanicsWithValue(t, "worker.Handle: the function for none is nil", func() {
		worker.Handle(w, refcache.Func[string, string]{Name: "none"}, nil)
	})
	for _, w := range []*worker.Worker{nil, {}} {
		require.PanicsWithValue(t, "worker.Handle: the worker is not made by worker.New", func() { worker.Handle(w, work, fn) })
		require.EqualError(t, w.Run(t.Context()), "worker: not made by worker.New")
	}
	require.PanicsWithValue(t, "worker.New: the Redis client is nil", func() { worker.New(nil, worker.Config{}) })
	worker.Handle(w, refcache.Func[string, string]{Name: "work", Version: 2, Queue: "media"}, fn)
	require.Equal(t, []string{"work@1", "work@2"}, w.Functions())
	require.Equal(t, []string{"default", "media"}, w.Queues())
}

type userKey struct{}

func TestFunctionKnowsWhatItRunsFor(t *testing.T) {
	inHouse(t, func(w *house) {
		var seen []worker.Running
		curious := func(ctx context.Context, _ string) (string, error) {
			running, ok := worker.Current(context.WithValue(ctx, userKey{}, "child"))
			require.True(w, ok)
			seen = append(seen, running)
			if len(seen) == 1 {
				return "", errDown
			}
			return "", nil
		}
		w.Start(worker.Config{}, world.Handles(work, curious))
		res, err := w.call(work, "in")
		require.NoError(w, err)
		made := w.info(res.RefID).CreatedAt
		require.NotZero(w, made)
		require.Equal(w, []worker.Running{
			{Ref: res.RefID, Function: "work", Attempt: 1, MaxRetries: 3, Cycle: 1, CreatedAt: made},
			{Ref: res.RefID, Function: "work", Attempt: 2, MaxRetries: 3, Cycle: 1, CreatedAt: made},
		}, seen)
	})
}

func TestFunctionsRunWithTheValuesOfRunsContext(t *testing.T) {
	inHouse(t, func(w *house) {
		second := worker.New(w.Redis, worker.Config{Logger: slog.New(slog.DiscardHandler)})
		got := make(chan any, 1)
		running := make(chan bool)
		worker.Handle(second, work, func(ctx context.Context, _ string) (string, error) {
			running <- true
			time.Sleep(time.Second)
			got <- ctx.Value(userKey{})
			return "", ctx.Err()
		})
		ctx, cancel := context.WithCancel(context.WithValue(w.Context(), userKey{}, "ann"))
		ended := make(chan error)
		go func() { ended <- second.Run(ctx) }()
		ref := w.submit(work, "in")
		<-running
		cancel()
		require.NoError(w, <-ended)
		require.Equal(w, "ann", <-got)
		require.Equal(w, refcache.Complete, w.info(ref).Status, "the end of Run's context is not theirs")
	})
}

func TestOneWorkerServesSeveralQueues(t *testing.T) {
	inHouse(t, func(w *house) {
		media := work
		media.Queue = "media"
		media.Name = "thumb"
		w.Start(worker.Config{}, world.Handles(work, failing(0).run), world.Handles(media, failing(1).run))
		for _, f := range []refcache.Func[string, string]{work, media} {
			res, err := w.call(f, "in")
			require.NoError(w, err)
			require.Equal(w, "done", res.Value)
		}
	})
}

func TestIdleWorkerStartsACallWithin400ms(t *testing.T) {
	inHouse(t, func(w *house) {
		fn := failing(0)
		w.Start(worker.Config{}, world.Handles(work, fn.run))
		for i := range 10 {
			time.Sleep(1037 * time.Millisecond)
			start := time.Now()
			_, err := w.call(work, string(rune('a'+i)))
			require.NoError(w, err)
			require.LessOrEqual(w, fn.at(i+1).Sub(start), 400*time.Millisecond)
		}
	})
}

// watched notes what is done to a client that somebody lent.
type watched struct {
	redis.UniversalClient
	hooks, closes atomic.Int32
}

func (c *watched) AddHook(h redis.Hook) {
	c.hooks.Add(1)
	c.UniversalClient.AddHook(h)
}

func (c *watched) Close() error {
	c.closes.Add(1)
	return c.UniversalClient.Close()
}

func TestWorkerLeavesTheClientAsItIs(t *testing.T) {
	inHouse(t, func(w *house) {
		lent := &watched{UniversalClient: w.Redis}
		second := worker.New(lent, worker.Config{Logger: slog.New(slog.DiscardHandler)})
		world.Handles(work, failing(0).run)(second)
		ctx, cancel := context.WithCancel(w.Context())
		ended := make(chan error)
		go func() { ended <- second.Run(ctx) }()
		_, err := w.call(work, "in")
		require.NoError(w, err)
		cancel()
		require.NoError(w, <-ended)
		require.Zero(w, lent.hooks.Load())
		require.Zero(w, lent.closes.Load())
		require.NoError(w, lent.Ping(w.Context()).Err())
	})
}

func TestLogIsAboutTheWorkerNotItsCalls(t *testing.T) {
	inHouse(t, func(w *house) {
		var log logbook
		h := w.Start(worker.Config{Logger: log.logger()}, world.Handles(work, failing(1).run))
		for i := range 5 {
			_, err := w.call(work, string(rune('a'+i)))
			require.NoError(w, err)
		}
		h.Stop()
		require.Len(w, log.lines, 3, "%s", log.lines)
		for i, text := range []string{"worker started", "worker stopping", "worker stopped"} {
			require.Contains(w, log.lines[i], text)
			require.Regexp(w, ` worker=\S+-\d+-[a-z0-9]{6}\s`, log.lines[i])
		}
	})
}
