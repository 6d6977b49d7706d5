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

	"github.com/refq/refq/internal/redisserver"
	"github.com/refq/refq/refcache"
)

var failovers = scenario{
	name: "failover", harm: "the master killed and a replica promoted by Sentinel, 5 times, under load",
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
func newReplicatedStage(dir string, full bool, seed uint64, p policy) (*stage, error) {
	group, err := startReplicas(dir)
	if err != nil {
		return nil, errors.Join(err, group.end())
	}
	s, err := newStageAt("redis-sentinel://"+group.sentinel.Addr+"/0?master="+masterName, dir, full, seed, p)
	if err != nil {
		return nil, errors.Join(err, group.end())
	}
	s.replicas = group
	return s, nil
}

func startReplicas(dir string) (*replicas, error) {
	group := &replicas{}
	for i := range group.servers {
		home := filepath.Join(dir, fmt.Sprint("redis-", i))
		if err := os.Mkdir(home, 0o700); err != nil {
			return group, err
		}
		args := []string{"--appendonly", "yes", "--save", "", "--dir", home, "--repl-diskless-sync-delay", "0"}
		if i > 0 {
			host, port, _ := net.SplitHostPort(group.servers[0].Addr)
			args = append(args, "--replicaof", host+" "+port)
		}
		var err error
		if group.servers[i], err = redisserver.Start(args...); err != nil {
			return group, err
		}
	}
	host, port, _ := net.SplitHostPort(group.servers[0].Addr)
	file := filepath.Join(dir, "sentinel.conf") // which the Sentinel writes, too
	text := fmt.Sprintf("sentinel monitor %[1]s %s %s 1\nsentinel down-after-milliseconds %[1]s 1000\n"+
		"sentinel failover-timeout %[1]s 5000\n", masterName, host, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return group, err
	}
	var err error
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
	calls, err := s.underLoad(ctx)
	if err != nil {
		return r, err
	}
	var back []time.Duration
	for range either(s, 1, 5) {
		s.pause(3*time.Second, 5*time.Second)
		if err := s.until(ctx, "the replica follows", ready); err != nil {
			return r, err
		}
		took, err := s.failOverOnce(ctx)
		if err != nil {
			return r, err
		}
		back = append(back, took)
	}
	books, a, err := s.settle(ctx, calls...)
	if err != nil {
		return r, err
	}
	s.showFailovers(&r, books, a)
	r.showTimes("promotion until every process works again", back, 10*time.Second, 10*time.Second)
	return r, nil
}

// failOverOnce kills the master, waits for the promotion, and starts the old master again, as a replica. It returns how
// long after the promotion all processes worked again.
func (s *stage) failOverOnce(ctx context.Context) (time.Duration, error) {
	g := s.replicas
	old, err := g.master(ctx)
	if err != nil {
		return 0, err
	}
	if err := g.servers[old].Kill(); err != nil {
		return 0, err
	}
	err = s.until(ctx, "the replica is promoted", func() (bool, error) {
		now, err := g.master(ctx)
		return err == nil && now != old, err
	})
	if err != nil {
		return 0, err
	}
	took, err := s.flowing(ctx, time.Now())
	if err != nil {
		return 0, err
	}
	return took, g.servers[old].Restart()
}

// showFailovers tells what went on, and what the old masters had taken and not passed on: a call that vanished was told
// so and made again; an attempt whose claim or end was rolled back ran again.
func (s *stage) showFailovers(r *report, books map[refcache.Ref]*book, a account) {
	r.show(a.gone == 0, "%d calls, %d lost; %d had vanished with the old master: their callers were told, and made them again",
		a.calls, a.gone, a.gaveUp)
	r.show(len(a.wrong) == 0, "%d complete in %d executions; %d do not add up%s", a.complete, a.executions, len(a.wrong), examples(a.wrong))
	dead, own := missed(a)
	r.show(dead == 0, "%d attempts lost because a worker was thought dead, %d because the answer to a claim, or the claim's end, was lost with the master", dead, own)
	r.show(a.retries == 0, "%d attempts took results across, %d retries spent", outlivedOutage(books, a), a.retries)
}
