package admin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq"
	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/internal/testkit/redisserver"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// shards is a Cluster of three, with two queues in each that have a pending call.
type shards struct {
	*testing.T
	cluster *redisserver.Cluster
	rdb     *redis.ClusterClient
	queues  [3][]string // by master
	lists   int         // the master with the list of queues
}

func inShards(t *testing.T) *shards {
	cluster := testkit.Cluster(t, 3, 0, "--cluster-node-timeout", "60000") // nobody is said to have failed
	client, err := refq.Connect("redis-cluster://" + cluster.Masters[0].Addr + "," + cluster.Masters[1].Addr + "," + cluster.Masters[2].Addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	s := &shards{T: t, cluster: cluster, rdb: client.(*redis.ClusterClient)}
	s.lists = s.masterOf("refq:queues")
	for n := 0; slices.ContainsFunc(s.queues[:], func(q []string) bool { return len(q) < 2 }); n++ {
		queue := fmt.Sprintf("q%d", n)
		if at := s.masterOf("refq:{" + queue + "}:-"); len(s.queues[at]) < 2 {
			s.queues[at] = append(s.queues[at], queue)
		}
	}
	p := producer.New(client, producer.Config{})
	for n, queue := range s.all() {
		_, err := producer.Submit(t.Context(), p, refcache.Func[int, int]{Name: "f", Queue: queue}, n)
		require.NoError(t, err)
	}
	require.NoError(t, p.Close())
	return s
}

func (s *shards) masterOf(key string) int {
	node, err := s.rdb.MasterForKey(s.Context(), key)
	require.NoError(s, err)
	return slices.IndexFunc(s.cluster.Masters, func(m *redisserver.Server) bool { return m.Addr == node.Options().Addr })
}

// all are the queues, but for those of the masters named.
func (s *shards) all(but ...int) (all []string) {
	for n, queues := range s.queues {
		if !slices.Contains(but, n) {
			all = append(all, queues...)
		}
	}
	slices.Sort(all)
	return all
}

// silence stops a master until the function that is returned is called.
func (s *shards) silence(master int) (end func()) {
	require.NoError(s, s.cluster.Masters[master].Signal("STOP"))
	return func() { require.NoError(s, s.cluster.Masters[master].Signal("CONT")) }
}

// heard looks until nobody but a silent master has failed to answer in time: the machine may be busy.
func (s *shards) heard(master int, look func() error) (err error) {
	for range 20 {
		err = look()
		var partial *monitor.PartialError
		isOther := func(m monitor.Missing) bool { return m.Node != s.cluster.Masters[master].Addr }
		if err == nil || errors.As(err, &partial) && !slices.ContainsFunc(partial.Missing, isOther) {
			break
		}
	}
	return err
}

// misses asserts that an error says that the queues of a master are missing, and of the list if that is there.
func (s *shards) misses(err error, master int) {
	s.Helper()
	partial := &monitor.PartialError{}
	if !assert.ErrorAs(s, err, &partial) {
		return
	}
	names := slices.Sorted(slices.Values(s.queues[master]))
	addr := s.cluster.Masters[master].Addr
	assert.Contains(s, err.Error(), fmt.Sprintf("node %s does not answer: queues %s, %s are missing", addr, names[0], names[1]))
	unlisted := slices.ContainsFunc(partial.Missing, func(m monitor.Missing) bool { return len(m.Queues) == 0 })
	assert.Equal(s, master == s.lists, unlisted, err)
	for _, m := range partial.Missing {
		assert.Equal(s, addr, m.Node)
	}
}

// A node that does not answer takes its own queues out of what is told, and nothing else.
func TestASilentNodeHidesItsOwnQueuesAlone(t *testing.T) {
	t.Parallel()
	s := inShards(t)
	a := admin.New(s.rdb, admin.Config{})
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	whole, err := a.Page(t.Context(), admin.Filter{}, "", 10)
	require.NoError(t, err)
	require.Len(t, whole.Tasks, 6)
	for master := range s.cluster.Masters {
		end := s.silence(master)
		others := s.all(master)
		var looks sync.WaitGroup
		for name, look := range map[string]func(context.Context) ([]string, []any, error){
			"list": func(ctx context.Context) (queues []string, _ []any, err error) {
				for info, missing := range a.List(ctx, admin.Filter{Since: time.Hour}) {
					if missing != nil {
						err = missing
						continue
					}
					queues = append(queues, info.Queue)
				}
				return queues, nil, err
			},
			"page": func(ctx context.Context) (queues []string, _ []any, err error) {
				page, err := a.Page(ctx, admin.Filter{}, "", 10)
				for _, info := range page.Tasks {
					queues = append(queues, info.Queue)
				}
				return queues, []any{page.Total}, err
			},
			"sizes": func(ctx context.Context) (queues []string, pending []any, err error) {
				sizes, err := a.Sizes(ctx)
				for _, q := range sizes {
					queues, pending = append(queues, q.Queue), append(pending, int(q.Pending))
				}
				return queues, pending, err
			},
			"health": func(ctx context.Context) (queues []string, _ []any, err error) {
				h, err := a.Health(ctx)
				for _, q := range h.Queues {
					queues = append(queues, q.Name)
				}
				return queues, []any{len(h.Servers), len(h.Refused), h.Blind}, err
			},
			"stats": func(ctx context.Context) (queues []string, _ []any, err error) {
				stats, err := a.Stats(ctx)
				for _, f := range stats.Functions {
					queues = append(queues, f.Queue)
				}
				return queues, nil, err
			},
		} {
			looks.Go(func() {
				var queues []string
				var found []any
				var took time.Duration
				err := s.heard(master, func() (err error) {
					began := time.Now()
					queues, found, err = look(t.Context())
					took = time.Since(began)
					return err
				})
				slices.Sort(queues)
				assert.Equal(t, others, queues, name)
				assert.Equal(t, map[string][]any{"page": {4}, "sizes": {1, 1, 1, 1}, "health": {2, 0, ""}}[name], found, name)
				s.misses(err, master)
				assert.Less(t, took, testkit.Within(4*time.Second), name)
			})
		}
		looks.Wait()
		end()
		_, err := a.Page(t.Context(), admin.Filter{}, "", 10)
		require.NoError(t, err, "it is back")
	}
}

// What is to be retried in the other queues is, and the next page asks for what was missing.
func TestWhatIsMissingIsAskedAgain(t *testing.T) {
	t.Parallel()
	s := inShards(t)
	a := admin.New(s.rdb, admin.Config{})
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	var newest []refcache.TaskInfo
	for info, err := range a.List(t.Context(), admin.Filter{}) {
		require.NoError(t, err)
		newest = append(newest, info)
	}
	silent := slices.IndexFunc(s.queues[:], func(q []string) bool { return slices.Contains(q, newest[5].Queue) })
	end := s.silence(silent)
	var first admin.Page
	s.misses(s.heard(silent, func() (err error) {
		first, err = a.Page(t.Context(), admin.Filter{}, "", 1)
		return err
	}), silent)
	require.Len(t, first.Tasks, 1)
	s.misses(s.heard(silent, func() (err error) {
		for _, err = range a.RetryAll(t.Context(), admin.Filter{}) {
		}
		return err
	}), silent)
	_, err := a.Page(t.Context(), admin.Filter{Queue: newest[5].Queue}, "", 1)
	require.ErrorContains(t, err, "is missing")
	var partial *monitor.PartialError
	require.False(t, errors.As(err, &partial), "there is nothing")
	end()
	second, err := a.Page(t.Context(), admin.Filter{}, first.Next, 10)
	require.NoError(t, err)
	at := slices.IndexFunc(newest, func(i refcache.TaskInfo) bool { return i.RefID == first.Tasks[0].RefID })
	require.Equal(t, refs(newest[at+1:]), refs(second.Tasks))
}

func refs(tasks []refcache.TaskInfo) (all []refcache.Ref) {
	for _, info := range tasks {
		all = append(all, info.RefID)
	}
	return all
}

// A process that has never read the list of queues says that it knows none.
func TestWithoutTheListOfQueuesThereIsNothing(t *testing.T) {
	t.Parallel()
	s := inShards(t)
	end := s.silence(s.lists)
	defer end()
	other, err := refq.Connect("redis-cluster://" + s.cluster.Masters[(s.lists+1)%3].Addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = other.Close() })
	a := admin.New(other, admin.Config{})
	_, err = a.Sizes(t.Context())
	require.ErrorContains(t, err, "the list of queues is missing")
	h, err := a.Health(t.Context())
	require.Len(t, h.Servers, 2)
	require.ErrorContains(t, err, "the list of queues is missing")
	require.ErrorAs(t, err, new(*monitor.PartialError))
}

// A node that falls silent in the middle of a walk holds up none of the tasks at others.
func TestRetryAllGoesOnPastANodeThatFallsSilent(t *testing.T) {
	t.Parallel()
	s := inShards(t)
	const master, calls = 0, 20
	silent, other := s.queues[master][0], s.queues[1][0]
	s.fail(calls, silent, other)
	a := admin.New(s.rdb, admin.Config{})
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	end := func() {}
	defer func() { end() }()
	accepted, unknown := map[string]int{}, map[string]int{}
	var last error
	for r, err := range a.RetryAll(t.Context(), admin.Filter{}, admin.FreshBudget()) {
		switch {
		case err != nil:
			last = err
		case r.Accepted():
			if len(accepted) == 0 {
				end = s.silence(master)
			}
			accepted[r.Task.Queue]++
		default:
			unknown[r.Task.Queue]++
		}
	}
	var partial *monitor.PartialError
	require.ErrorAs(t, last, &partial)
	addr := s.cluster.Masters[master].Addr
	require.Contains(t, last.Error(), fmt.Sprintf("node %s does not answer: queue %s is missing", addr, silent))
	require.Equal(t, calls, accepted[other])
	require.Less(t, accepted[silent]+unknown[silent], calls, "it was not asked about all of its tasks")
	require.Zero(t, unknown[other])
}

// fail makes calls in each of the queues that fail for good.
func (s *shards) fail(calls int, queues ...string) {
	p := producer.New(s.rdb, producer.Config{})
	w := worker.New(s.rdb, worker.Config{})
	ctx, stop := context.WithCancel(s.Context())
	var all sync.WaitGroup
	for _, queue := range queues {
		f := refcache.Func[int, int]{Name: "fails-" + queue, Queue: queue}
		worker.Handle(w, f, func(context.Context, int) (int, error) { return 0, worker.Permanent(errors.New("no")) })
		for n := range calls {
			all.Go(func() {
				_, err := producer.Do(s.Context(), p, f, n)
				assert.ErrorContains(s, err, "no")
			})
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	all.Wait()
	stop()
	require.NoError(s, <-ended)
	require.NoError(s, p.Close())
}

// What is paused is paused in the queues of the nodes that answer, and the others are named.
func TestAChangeOfAllQueuesGoesOnPastASilentNode(t *testing.T) {
	t.Parallel()
	s := inShards(t)
	a := admin.New(s.rdb, admin.Config{})
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	p := producer.New(s.rdb, producer.Config{})
	t.Cleanup(func() { _ = p.Close() })
	for master := range s.cluster.Masters {
		end := s.silence(master)
		names := slices.Sorted(slices.Values(s.queues[master]))
		says := fmt.Sprintf("node %s does not answer: queues %s, %s are missing", s.cluster.Masters[master].Addr, names[0], names[1])
		for name, change := range map[string]func() error{
			"pause": func() error {
				_, err := a.Pause(t.Context(), admin.Target{Func: "f"}, admin.PauseTerms{})
				return err
			},
			"resume": func() error {
				_, err := a.Resume(t.Context(), admin.Target{Func: "f"})
				return err
			},
			"invalidate": func() error { return p.Invalidate(t.Context(), producer.Tag("x")) },
		} {
			var took time.Duration
			var err error
			for range 20 { // until nobody but the silent one has failed to answer in time: the machine may be busy
				began := time.Now()
				if err = change(); strings.Contains(fmt.Sprint(err), "2 of 6 queues failed") {
					took = time.Since(began)
					break
				}
			}
			require.ErrorContains(t, err, says, name)
			require.ErrorContains(t, err, "2 of 6 queues failed; repeat it", name)
			unlisted := 0
			if master == s.lists {
				unlisted = 1
			}
			require.Equal(t, unlisted, strings.Count(err.Error(), "the list of queues is missing"), "%s: %v", name, err)
			require.Less(t, took, testkit.Within(8*time.Second), name)
		}
		end()
	}
	_, err := a.Pause(t.Context(), admin.Target{Func: "f"}, admin.PauseTerms{})
	require.NoError(t, err)
}
