//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/testkit/redisserver"
	"github.com/refq/refq/refcache"
)

const (
	masters = 3
	// queuesOfMaster is how many of the stage's queues each master begins with.
	queuesOfMaster = 2
	allSlots       = 16384
)

// cluster is a Redis Cluster of masters with a replica each, and the ways to its nodes.
type cluster struct {
	*redisserver.Cluster
	clients map[*redisserver.Server]*redis.Client
	queues  []string // those of the first master in front
}

// newClusterStage is a stage on a Redis Cluster, whose function is one in each of six queues.
func newClusterStage(dir string, t terms, p policy) (*stage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	started, err := redisserver.StartCluster(ctx, filepath.Join(dir, "redis"), masters, 1, "--appendonly", "yes",
		"--cluster-node-timeout", "3000", "--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no",
		"--repl-diskless-sync-delay", "0")
	if err != nil {
		return nil, err
	}
	c := &cluster{Cluster: started, clients: map[*redisserver.Server]*redis.Client{}}
	for _, node := range c.Nodes() {
		c.reach(node)
	}
	if err := c.nameQueues(ctx); err != nil {
		return nil, errors.Join(err, c.end())
	}
	s, err := newStageAt("redis-cluster://"+c.Masters[0].Addr+","+c.Masters[1].Addr+","+c.Masters[2].Addr, dir, t, p)
	if err != nil {
		return nil, errors.Join(err, c.end())
	}
	s.cluster = c
	for _, queue := range c.queues {
		p.Queue, p.Function = queue, "job-"+queue
		s.brief.Beside = append(s.brief.Beside, p)
	}
	s.brief.Policy, s.brief.Beside = s.brief.Beside[0], s.brief.Beside[1:]
	return s, nil
}

// reach makes the director's own way to a node. It waits for one that stands still, but not for long.
func (c *cluster) reach(node *redisserver.Server) {
	c.clients[node] = redis.NewClient(&redis.Options{Addr: node.Addr, DisableIdentity: true, MaxRetries: -1, ReadTimeout: time.Second})
}

// nameQueues finds as many queues for each master.
func (c *cluster) nameQueues(ctx context.Context) error {
	found := make([][]string, masters)
	for n := 0; len(slices.Concat(found...)) < masters*queuesOfMaster; n++ {
		name := fmt.Sprintf("%s-%d", queue, n)
		slot, err := c.slot(ctx, name)
		if err != nil {
			return err
		}
		if of := int((slot*masters + masters - 1) / allSlots); len(found[of]) < queuesOfMaster {
			found[of] = append(found[of], name)
		}
	}
	c.queues = slices.Concat(found...)
	return nil
}

func (c *cluster) slot(ctx context.Context, queue string) (int64, error) {
	return c.clients[c.Masters[0]].ClusterKeySlot(ctx, "{"+queue+"}").Result()
}

// queuesOf are those of the n-th part of the slots, which the n-th master has at first.
func (c *cluster) queuesOf(n int) []string {
	return c.queues[n*queuesOfMaster : (n+1)*queuesOfMaster]
}

// pair are the two nodes that have the n-th part of the slots, the master in front.
func (c *cluster) pair(ctx context.Context, n int) (master, replica *redisserver.Server, err error) {
	master, replica = c.Masters[n], c.Replicas[n]
	role, err := c.role(ctx, master)
	if role != "master" {
		master, replica = replica, master
	}
	return master, replica, err
}

// role is what a node takes itself for: master or slave.
func (c *cluster) role(ctx context.Context, node *redisserver.Server) (string, error) {
	answer, err := c.clients[node].Do(ctx, "ROLE").Slice()
	if err != nil {
		return "", err
	}
	role, _ := answer[0].(string)
	return role, nil
}

// whole reports whether every part of the slots has a master and a replica in step with it, and all nodes think so.
func (c *cluster) whole(ctx context.Context) (bool, error) {
	for n := range masters {
		master, replica, err := c.pair(ctx, n)
		if err != nil {
			return false, err
		}
		link, err := c.clients[replica].Info(ctx, "replication").Result()
		if err != nil || !strings.Contains(link, "master_link_status:up") {
			return false, err
		}
		for _, node := range c.Nodes() {
			nodes, err := c.clients[node].ClusterNodes(ctx).Result()
			if err != nil || strings.Contains(nodes, "fail") || !strings.Contains(lineOf(nodes, master.Addr), "master") {
				return false, err
			}
		}
	}
	return true, nil
}

// lineOf is what is said of a node by its address.
func lineOf(nodes, addr string) string {
	for line := range strings.Lines(nodes) {
		if strings.Contains(line, " "+addr+"@") {
			return line
		}
	}
	return ""
}

func (c *cluster) end() error {
	var errs []error
	for _, client := range c.clients {
		_ = client.Close() // it only asked
	}
	for _, node := range c.Nodes() {
		errs = append(errs, node.Kill())
	}
	return errors.Join(errs...)
}

// untilWhole waits until the Cluster is as it was made, but for who is the master.
func (s *stage) untilWhole(ctx context.Context) error {
	return s.until(ctx, "the Cluster is whole", func() (bool, error) { return s.cluster.whole(ctx) })
}

// underLoadEverywhere starts workers of all queues, and producers that make calls in all of them.
func (s *stage) underLoadEverywhere(ctx context.Context, l load) (producers []*process, err error) {
	if err := s.untilWhole(ctx); err != nil {
		return nil, err
	}
	if _, err := s.startWorkers(ctx, 3); err != nil {
		return nil, err
	}
	l.Beside, l.Callers = true, 25
	for i := range 2 {
		l.First = (i + 1) * 1_000_000
		p, err := s.startProducer(l)
		if err != nil {
			return nil, err
		}
		producers = append(producers, p)
	}
	return producers, s.flowingEverywhere(ctx, time.Now())
}

// flowingEverywhere waits until every producer has had the answer of a call in each queue that it made after a time.
func (s *stage) flowingEverywhere(ctx context.Context, since time.Time) error {
	return s.until(ctx, "calls are answered in all queues", func() (bool, error) {
		type place struct {
			pid   int
			queue string
		}
		made, done := map[int]bool{}, map[place]bool{}
		err := readJournals(s.dir, producerRole, func(l line) {
			switch {
			case !l.time().After(since):
			case l.Kind == asked:
				made[l.N] = true
			case l.Kind == answered && made[l.N]:
				done[place{l.PID, queueOf(l.Ref)}] = true
			}
		})
		return len(done) == len(s.living(producerRole))*len(s.cluster.queues), err
	})
}

// endsIn are the times at which calls in a queue ended, by Redis, in their order.
func endsIn(a account, queue string) (ends []time.Time) {
	for ref, info := range a.infos {
		if queueOf(ref) == queue && info.CompletedAt != nil {
			ends = append(ends, *info.CompletedAt)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	return ends
}

// longestSilence is the longest time without an end that was over in a span.
func longestSilence(ends []time.Time, s span) (longest time.Duration) {
	for i := 1; i < len(ends); i++ {
		if ends[i].After(s.from) && ends[i].Before(s.till) {
			longest = max(longest, ends[i].Sub(ends[i-1]))
		}
	}
	return longest
}

// ask is a call as its producer saw it.
type ask struct {
	at, answered time.Time
	queue        string
	refusals     []line // what it was refused with before
	vanished     int    // how often it had been there, and was not any more
}

// asks reads the producers' journals, call by call, by number.
func (s *stage) asks() (map[int]*ask, error) {
	all := map[int]*ask{}
	err := readJournals(s.dir, producerRole, func(l line) {
		if l.Kind == asked {
			all[l.N] = &ask{at: l.time()}
			return
		}
		a := all[l.N]
		switch l.Kind {
		case answered, accepted:
			a.answered, a.queue = l.time(), queueOf(l.Ref)
		case refused:
			a.refusals = append(a.refusals, l)
		case vanished:
			a.vanished++
		}
	})
	return all, err
}

// showSmooth adds that no call was refused, and none slow, among those that were made in a span.
func (s *stage) showSmooth(r *report, asks map[int]*ask, during span) {
	calls, refusals := 0, 0
	var slowest time.Duration
	var said []string
	for _, a := range asks {
		if a.at.Before(during.from) || a.at.After(during.till) {
			continue
		}
		calls++
		refusals += len(a.refusals) + a.vanished
		for _, l := range a.refusals {
			said = append(said, l.Text)
		}
		slowest = max(slowest, a.answered.Sub(a.at))
	}
	limit := s.within(time.Second)
	r.show(calls > 0 && refusals == 0 && slowest <= limit, "%d refused%s; slowest of %d calls %s", refusals, examples(said), calls, round(slowest))
}

// cutShort counts the attempts whose context ended before they did.
func cutShort(books map[refcache.Ref]*book) (n int) {
	for _, b := range books {
		n += count(b.works, stopped)
	}
	return n
}
