//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/testkit/redisserver"
	"github.com/refq/refq/refcache"
)

var failovers = scenario{
	name: "failover", harm: "the master killed and its replica, 300 ms behind, promoted by Sentinel, 5 times, under load",
	must:   "the same, apart from writes the old master had not replicated: counted and explained",
	within: [2]time.Duration{4 * time.Minute, 10 * time.Minute},
	run:    failOver,
	stage:  newReplicatedStage,
}

const masterName = "main"

// replicas are two redis-servers, one of them the master, and the Sentinel that decides which.
type replicas struct {
	servers  [2]*redisserver.Server
	sentinel *redisserver.Server
	client   *redis.SentinelClient
}

// newReplicatedStage is a stage on a master with a replica and a Sentinel.
func newReplicatedStage(dir string, t terms, p policy) (*stage, error) {
	group, err := startReplicas(dir)
	if err != nil {
		return nil, errors.Join(err, group.end())
	}
	s, err := newStageAt("redis-sentinel://"+group.sentinel.Addr+"/0?master="+masterName, dir, t, p)
	if err != nil {
		return nil, errors.Join(err, group.end())
	}
	s.replicas = group
	return s, nil
}

// startPair starts a master and its replica, which keep what they have below dir. After an error the pair has those that were started.
func startPair(dir string) (pair [2]*redisserver.Server, err error) {
	for i := range pair {
		home := filepath.Join(dir, fmt.Sprint("redis-", i))
		if err := os.Mkdir(home, 0o700); err != nil {
			return pair, err
		}
		args := []string{"--appendonly", "yes", "--save", "", "--dir", home, "--repl-diskless-sync-delay", "0"}
		if i > 0 {
			host, port, _ := net.SplitHostPort(pair[0].Addr)
			args = append(args, "--replicaof", host+" "+port)
		}
		if pair[i], err = redisserver.Start(args...); err != nil {
			return pair, err
		}
	}
	return pair, nil
}

func startReplicas(dir string) (*replicas, error) {
	group := &replicas{}
	var err error
	if group.servers, err = startPair(dir); err != nil {
		return group, err
	}
	host, port, _ := net.SplitHostPort(group.servers[0].Addr)
	file := filepath.Join(dir, "sentinel.conf") // which the Sentinel writes, too
	text := fmt.Sprintf("sentinel monitor %[1]s %s %s 1\nsentinel down-after-milliseconds %[1]s 1000\n"+
		"sentinel failover-timeout %[1]s 5000\n", masterName, host, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return group, err
	}
	if group.sentinel, err = redisserver.Start(file, "--sentinel", "--dir", dir); err != nil {
		return group, err
	}
	group.client = redis.NewSentinelClient(&redis.Options{Addr: group.sentinel.Addr})
	return group, nil
}

func (g *replicas) end() (err error) {
	if g.client != nil {
		_ = g.client.Close() // it only asked
	}
	for _, s := range append(g.servers[:], g.sentinel) {
		if s != nil {
			err = errors.Join(err, s.Kill())
		}
	}
	return err
}

// master answers which of the servers the Sentinel takes for the master.
func (g *replicas) master(ctx context.Context) (int, error) {
	addr, err := g.client.GetMasterAddrByName(ctx, masterName).Result()
	if err != nil {
		return 0, err
	}
	for i, s := range g.servers {
		if s.Addr == net.JoinHostPort(addr[0], addr[1]) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("unknown master %v", addr)
}

// replicated reports whether the other server follows the master, and the Sentinel knows.
func (g *replicas) replicated(ctx context.Context) (bool, error) {
	known, err := g.client.Replicas(ctx, masterName).Result()
	if err != nil || len(known) != 1 {
		return false, err
	}
	return known[0]["master-link-status"] == "ok" && known[0]["flags"] == "slave", nil
}

func failOver(ctx context.Context, s *stage) (r report, err error) {
	g := s.replicas
	ready := func() (bool, error) { return g.replicated(ctx) }
	if err := s.until(ctx, "the replica follows", ready); err != nil {
		return r, err
	}
	calls, err := s.underLoad(ctx, 1500)
	if err != nil {
		return r, err
	}
	var back []time.Duration
	var lossy []span
	for range either(s, 1, 5) {
		s.pause(ctx, 3*time.Second, 5*time.Second)
		if err := s.until(ctx, "the replica follows", ready); err != nil {
			return r, err
		}
		promotion, took, err := s.failOverOnce(ctx)
		if err != nil {
			return r, err
		}
		back, lossy = append(back, took), append(lossy, promotion)
	}
	books, a, err := s.settleAfter(ctx, lossy, calls)
	if err != nil {
		return r, err
	}
	s.showFailovers(&r, books, a)
	r.showTimes("promotion until every process works again", back, s.within(10*time.Second), s.within(10*time.Second))
	return r, nil
}

// behind is how much of what it was told the promoted replica has not heard of.
const behind = 300 * time.Millisecond

// failOverOnce kills the master, after its replica has been deaf for a while, and waits for the promotion. It starts the
// old master again, as a replica. It answers from when till when writes may have got lost, and how long after the
// promotion all processes worked again.
func (s *stage) failOverOnce(ctx context.Context) (lossy span, took time.Duration, err error) {
	g := s.replicas
	old, err := g.master(ctx)
	if err != nil {
		return span{}, 0, err
	}
	lossy.from = time.Now()
	replica := g.servers[1-old]
	err = errors.Join(replica.Signal("STOP"), cutOff(ctx, g.servers[old].Addr), wait(ctx, behind), g.servers[old].Kill(), replica.Signal("CONT"))
	if err != nil {
		return span{}, 0, err
	}
	err = s.until(ctx, "the replica is promoted", func() (bool, error) {
		now, err := g.master(ctx)
		return err == nil && now != old, err
	})
	if err != nil {
		return span{}, 0, err
	}
	promoted := time.Now()
	if took, err = s.flowing(ctx, promoted); err != nil {
		return span{}, 0, err
	}
	lossy.till = promoted.Add(took)
	return lossy, took, g.servers[old].Restart()
}

// cutOff has a master close its connection to the replica, which would else find there what it was sent meanwhile.
func cutOff(ctx context.Context, master string) error {
	rdb := redis.NewClient(&redis.Options{Addr: master})
	defer rdb.Close()
	return rdb.Do(ctx, "CLIENT", "KILL", "TYPE", "replica").Err()
}

// showFailovers tells what went on, and what the old masters had taken and not passed on: a call that vanished was told
// so and made again; an attempt whose claim or end was rolled back ran again.
func (s *stage) showFailovers(r *report, books map[refcache.Ref]*book, a account) {
	r.show(a.gone == 0, "%d calls, %d lost; %d callers were told that theirs had vanished with the old master, and made it again",
		a.calls, a.gone, a.vanished)
	r.show(len(a.wrong) == 0, "%d complete in %d executions; %d do not add up%s; of %d that were under way then the old master took writes along",
		a.complete, a.executions, len(a.wrong), examples(a.wrong), a.rolledBack)
	dead, own := missed(a)
	r.show(dead == 0, "%d attempts lost because a worker was thought dead, %d because their claim's answer or their outcome was lost with the master", dead, own)
	r.show(a.retries == 0, "%d attempts took results across, %d retries spent", outlivedOutage(books, a), a.retries)
}
