//go:build unix

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/testkit/redisserver"
	"github.com/refq/refq/refcache"
)

var clusterResharding = scenario{
	name: "cluster-reshard",
	harm: "a live queue's slot moved to and fro, 10 times; a node added, filled, emptied; a slot of 50,000 records moved; under load",
	must: "0 refused, slowest call <= 1 s; in the last only TRYAGAIN is refused, no attempt lost or void, no BUSYKEY; " +
		"messages heard within 2 s after",
	within: [2]time.Duration{4 * time.Minute, 15 * time.Minute},
	run:    reshard,
	stage:  newClusterStage,
}

func reshard(ctx context.Context, s *stage) (r report, err error) {
	c := s.cluster
	light, heavy := c.queuesOf(0)[0], c.queuesOf(1)[0]
	calls, err := s.underLoadEverywhere(ctx, brisk)
	if err != nil {
		return r, err
	}
	records := either(s, 2000, 50_000)
	if err := s.fill(ctx, heavy, records); err != nil {
		return r, err
	}
	moves := span{from: time.Now()}
	toAndFro := either(s, 2, 10)
	for range toAndFro {
		s.pause(ctx, 500*time.Millisecond, time.Second)
		if err := s.moveQueue(ctx, light, c.Masters[0], c.Masters[2]); err != nil {
			return r, err
		}
		s.pause(ctx, 500*time.Millisecond, time.Second)
		if err := s.moveQueue(ctx, light, c.Masters[2], c.Masters[0]); err != nil {
			return r, err
		}
	}
	slots, err := s.addAndRemoveNode(ctx, int64(either(s, 5, 50)))
	if err != nil {
		return r, err
	}
	s.pause(ctx, time.Second, 2*time.Second)
	moves.till = time.Now()
	s.pause(ctx, time.Second, time.Second) // what was asked for by then is over when the next move begins, or was slow

	big := span{from: time.Now(), queues: []string{heavy}}
	if err := s.moveQueue(ctx, heavy, c.Masters[1], c.Masters[2]); err != nil {
		return r, err
	}
	big.till = time.Now()
	if err := s.flowingEverywhere(ctx, big.till); err != nil {
		return r, err
	}
	books, a, err := s.settle(ctx, calls...)
	if err != nil {
		return r, err
	}
	asks, err := s.asks()
	if err != nil {
		return r, err
	}
	r.showAccount(a)
	s.showSmooth(&r, asks, moves)
	r.show(true, "a live queue's slot moved %d times to and fro; %d slots moved to a new node and back", toAndFro, slots)
	s.showBigMove(&r, asks, a, books, big, records)
	return r, nil
}

// fill has so many calls of a queue executed, whose records stay.
func (s *stage) fill(ctx context.Context, queue string, records int) error {
	b := s.brief
	defer func() { s.brief = b }()
	for _, p := range b.Beside {
		if p.Queue == queue {
			s.brief.Policy = p
		}
	}
	p, err := s.startProducer(load{First: 50_000_000, Calls: records, Callers: 16, NoWait: true})
	if err != nil {
		return err
	}
	if err := p.end(5 * time.Minute); err != nil {
		return err
	}
	return s.until(ctx, "the queue is empty", func() (bool, error) {
		n, err := s.client.ZCard(ctx, "refq:{"+queue+"}:pending").Result()
		return n < 100, err // others make calls there, too
	})
}

// moveQueue moves a queue's slot from one master to another, key by key, as redis-cli does.
func (s *stage) moveQueue(ctx context.Context, queue string, from, to *redisserver.Server) error {
	slot, err := s.cluster.slot(ctx, queue)
	if err != nil {
		return err
	}
	return s.cluster.move(ctx, slot, from, to)
}

func (c *cluster) move(ctx context.Context, slot int64, from, to *redisserver.Server) error {
	source, target := c.clients[from], c.clients[to]
	sourceID, err := source.ClusterMyID(ctx).Result()
	if err != nil {
		return err
	}
	targetID, err := target.ClusterMyID(ctx).Result()
	if err != nil {
		return err
	}
	if err := setSlot(ctx, target, slot, "IMPORTING", sourceID); err != nil {
		return err
	}
	if err := setSlot(ctx, source, slot, "MIGRATING", targetID); err != nil {
		return err
	}
	if err := migrate(ctx, source, slot, to.Addr); err != nil {
		return fmt.Errorf("move slot %d: %w", slot, err)
	}
	for _, node := range append([]*redisserver.Server{to, from}, c.Masters...) {
		if err := setSlot(ctx, c.clients[node], slot, "NODE", targetID); err != nil {
			return err
		}
	}
	return nil
}

func setSlot(ctx context.Context, node *redis.Client, slot int64, what, id string) error {
	if err := node.Do(ctx, "CLUSTER", "SETSLOT", slot, what, id).Err(); err != nil {
		return fmt.Errorf("slot %d %s: %w", slot, what, err)
	}
	return nil
}

// migrate sends the keys of a slot to another node, some at a time.
func migrate(ctx context.Context, source *redis.Client, slot int64, to string) error {
	host, port, _ := strings.Cut(to, ":")
	for {
		keys, err := source.ClusterGetKeysInSlot(ctx, int(slot), 100).Result()
		if err != nil || len(keys) == 0 {
			return err
		}
		command := []any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}
		for _, key := range keys {
			command = append(command, key)
		}
		if err := source.Do(ctx, command...).Err(); err != nil {
			return err
		}
	}
}

// addAndRemoveNode adds a node, moves slots from each master to it, those of one of its queues among them, and back, and takes
// the node out again. It answers how many slots that were.
func (s *stage) addAndRemoveNode(ctx context.Context, ofEach int64) (slots int, err error) {
	c := s.cluster
	added, err := c.Add(ctx)
	if err != nil {
		return 0, err
	}
	c.reach(added)
	type moved struct {
		slot int64
		from *redisserver.Server
	}
	var all []moved
	for n, master := range c.Masters[:masters] {
		slot, err := c.slot(ctx, c.queuesOf(n)[1])
		if err != nil {
			return 0, err
		}
		first := min(max(slot-ofEach/2, int64(n*allSlots/masters)), int64((n+1)*allSlots/masters)-ofEach)
		for i := range ofEach {
			all = append(all, moved{first + i, master})
		}
	}
	for _, m := range all {
		if err := c.move(ctx, m.slot, m.from, added); err != nil {
			return 0, err
		}
	}
	s.pause(ctx, 2*time.Second, 3*time.Second)
	for _, m := range slices.Backward(all) {
		if err := c.move(ctx, m.slot, added, m.from); err != nil {
			return 0, err
		}
	}
	s.pause(ctx, time.Second, 2*time.Second)
	return len(all), c.remove(ctx, added)
}

// remove has the others forget a master without slots, and ends it.
func (c *cluster) remove(ctx context.Context, node *redisserver.Server) error {
	id, err := c.clients[node].ClusterMyID(ctx).Result()
	if err != nil {
		return err
	}
	if err := node.Kill(); err != nil {
		return err
	}
	c.Masters = slices.DeleteFunc(c.Masters, func(s *redisserver.Server) bool { return s == node })
	for _, other := range c.Nodes() {
		if err := c.clients[other].Do(ctx, "CLUSTER", "FORGET", id).Err(); err != nil {
			return err
		}
	}
	return nil
}

// heardAfter is how late after the move messages may be heard.
const heardAfter = 2 * time.Second

// showBigMove adds what the move of a slot with many records did to the calls of its queue.
func (s *stage) showBigMove(r *report, asks map[int]*ask, a account, books map[refcache.Ref]*book, move span, records int) {
	refusals, others := 0, []string{}
	for _, ask := range asks {
		for _, l := range ask.refusals {
			switch {
			case l.time().Before(move.from):
			case strings.Contains(l.Text, "TRYAGAIN") && move.in(ask.queue):
				refusals++
			default:
				others = append(others, ask.queue+": "+l.Text)
			}
		}
	}
	r.show(len(others) == 0, "a slot of %d records moved in %s: %d refused with TRYAGAIN, %d otherwise%s",
		records, round(move.till.Sub(move.from)), refusals, len(others), examples(others))
	dead, own := missed(a)
	void := cutShort(books)
	r.show(dead+own+void == 0 && a.retries == 0, "%d attempts lost, %d void, %d retries spent, 0 BUSYKEY", dead+own, void, a.retries)
	var latest time.Duration
	for ref, info := range a.infos {
		if !move.in(queueOf(ref)) || info.CompletedAt == nil || info.CompletedAt.Before(move.from) {
			continue
		}
		since := *info.CompletedAt
		if since.Before(move.till) {
			since = move.till
		}
		for _, l := range books[ref].answers {
			if l.Kind == answered {
				latest = max(latest, l.time().Sub(since))
			}
		}
	}
	r.show(latest > 0 && latest <= s.within(heardAfter), "its callers were told at most %s after it, or after the end of the call", round(latest))
}
