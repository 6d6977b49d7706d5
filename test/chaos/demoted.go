//go:build unix

package main

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/netproxy"
	"github.com/refq/refq/internal/testkit/redisserver"
)

var demotions = scenario{
	name: "demoted", harm: "one address repointed to the new master by a failover, 5 times, under load; the old one lives on as a replica",
	must:   "0 lost, calls and takes go on within 3 s",
	within: [2]time.Duration{3 * time.Minute, 5 * time.Minute},
	run:    demote,
	stage:  newDemotionStage,
}

// demotion is an address that leads to the master of two redis-servers.
type demotion struct {
	proxy   *netproxy.Proxy
	servers [2]*redisserver.Server
	clients [2]*redis.Client
	master  int
}

func newDemotionStage(dir string, t terms, p policy) (*stage, error) {
	servers, err := startPair(dir)
	d := &demotion{servers: servers}
	for i, server := range servers {
		if server != nil {
			d.clients[i] = redis.NewClient(&redis.Options{Addr: server.Addr})
		}
	}
	if err != nil {
		return nil, errors.Join(err, d.end())
	}
	if d.proxy, err = netproxy.Listen(d.servers[0].Addr); err != nil {
		return nil, errors.Join(err, d.end())
	}
	s, err := newStageAt(t.url(d.proxy.Addr()), dir, t, p)
	if err != nil {
		return nil, errors.Join(err, d.end())
	}
	s.demotion = d
	return s, nil
}

func (d *demotion) end() error {
	if d.proxy != nil {
		d.proxy.Close()
	}
	var errs []error
	for i, server := range d.servers {
		if server != nil {
			_ = d.clients[i].Close() // it only asked
			errs = append(errs, server.Kill())
		}
	}
	return errors.Join(errs...)
}

// replicated reports whether the replica is in step with its master.
func (d *demotion) replicated(ctx context.Context) (bool, error) {
	info, err := d.clients[1-d.master].Info(ctx, "replication").Result()
	return strings.Contains(info, "master_link_status:up"), err
}

// switchOver has the replica take its master's place. No write is lost: the old master holds them up until the replica has
// heard of all before.
func (d *demotion) switchOver(ctx context.Context) error {
	host, port, _ := net.SplitHostPort(d.servers[1-d.master].Addr)
	return d.clients[d.master].Do(ctx, "FAILOVER", "TO", host, port).Err()
}

// switchedOver reports whether the old master follows the new one.
func (d *demotion) switchedOver(ctx context.Context) (bool, error) {
	answer, err := d.clients[d.master].Do(ctx, "ROLE").Slice()
	return err == nil && answer[0] == "slave", err
}

func demote(ctx context.Context, s *stage) (r report, err error) {
	d := s.demotion
	calls, err := s.underLoad(ctx, 300)
	if err != nil {
		return r, err
	}
	var back []time.Duration
	for range either(s, 1, 5) {
		s.pause(ctx, 3*time.Second, 5*time.Second)
		if err := s.until(ctx, "the replica follows", func() (bool, error) { return d.replicated(ctx) }); err != nil {
			return r, err
		}
		took, err := s.demoteOnce(ctx)
		if err != nil {
			return r, err
		}
		back = append(back, took)
	}
	if err := s.showThrough(ctx, &r, "", 0, calls); err != nil {
		return r, err
	}
	r.showTimes("address repointed until every process works again", back, s.within(3*time.Second), s.within(3*time.Second))
	return r, nil
}

// demoteOnce makes the replica the master, and after a moment has the address lead there. It answers how long after that all
// processes worked again.
func (s *stage) demoteOnce(ctx context.Context) (took time.Duration, err error) {
	d := s.demotion
	if err := d.switchOver(ctx); err != nil {
		return 0, err
	}
	err = s.until(ctx, "the old master is demoted", func() (bool, error) { return d.switchedOver(ctx) })
	if err != nil {
		return 0, err
	}
	s.pause(ctx, 0, 2*time.Second)
	d.master = 1 - d.master
	d.proxy.Repoint(d.servers[d.master].Addr)
	return s.flowing(ctx, time.Now())
}
