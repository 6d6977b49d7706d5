package script

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// A subscription whose connection broke is made anew after firstRest, and up to longestRest if that fails.
	firstRest   = 50 * time.Millisecond
	longestRest = time.Second
	// regroupEvery is how often a Subscription looks whether its channels are still heard where they are published.
	regroupEvery = time.Second
)

// Subscription hears the messages of channels: over one connection, of a Cluster over one to each node that has some of
// them. Its connections mend themselves, and what was published meanwhile is lost: the next confirmation says so. Its
// methods may be called from several goroutines, but Receive from one.
//
// Channels are sharded where Redis knows such ones, since version 7: a message goes to the nodes of its channel's slot
// alone. Elsewhere they are plain. Which they are is tried with each new connection, as scripts do with each message, so
// both agree while Redis is upgraded.
type Subscription struct {
	rdb      redis.UniversalClient
	silence  time.Duration
	follower *follower       // nil without a Cluster
	ctx      context.Context // ends with Close, so that no attempt to connect holds that up
	end      context.CancelFunc
	heard    chan any // from the links to Receive
	running  sync.WaitGroup

	mu     sync.Mutex
	early  []string         // channels that were added before Receive
	begun  bool             // Receive was called
	closed bool             // nothing runs any more, or is to
	links  map[string]*link // by the address of the node, empty without a Cluster
}

// Subscribe returns a Subscription to no channel yet. It sends nothing: Receive does. After so long a silence a
// connection is tried, and after as long once more it is made anew.
func Subscribe(rdb redis.UniversalClient, silence time.Duration) *Subscription {
	s := &Subscription{rdb: rdb, silence: silence, heard: make(chan any), links: map[string]*link{}}
	s.ctx, s.end = context.WithCancel(context.Background())
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		s.follower = followNodes(cluster)
	}
	return s
}

// Add subscribes to more channels, in the background.
func (s *Subscription) Add(channels ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.early = append(s.early, channels...)
		return
	}
	s.startLocked(func() { s.place(channels, firstRest) })
}

// Receive hands each message and each confirmation to hear, until Close: [redis.Message] and [redis.Subscription], by
// pointer. A confirmation after the first of a channel means that messages may have been missed.
func (s *Subscription) Receive(hear func(any)) {
	s.mu.Lock()
	s.begun = true
	if len(s.early) > 0 {
		channels := s.early
		s.startLocked(func() { s.place(channels, firstRest) })
	}
	if s.follower != nil {
		s.startLocked(s.regroup)
	}
	s.mu.Unlock()
	for {
		select {
		case what := <-s.heard:
			hear(what)
		case <-s.ctx.Done():
			s.running.Wait()
			return
		}
	}
}

// start runs a goroutine of the Subscription, unless that is closed.
func (s *Subscription) start(run func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.startLocked(run)
}

// startLocked is start for who holds mu.
func (s *Subscription) startLocked(run func()) {
	if !s.closed {
		s.running.Go(run)
	}
}

// place has channels heard at the nodes that have them. It tries until the nodes are known; a link that has to be made
// begins with a rest that its predecessor has grown.
func (s *Subscription) place(channels []string, rest time.Duration) {
	for len(channels) > 0 && s.ctx.Err() == nil {
		var lost []string
		for _, channel := range channels {
			addr, node, err := s.nodeOf(channel)
			s.follower.heard(err)
			if err != nil || !s.linkTo(addr, node, rest).add(channel) {
				lost = append(lost, channel)
			}
		}
		if channels = lost; len(lost) > 0 {
			s.sleep(rest)
			rest = min(2*rest, longestRest)
		}
	}
}

// nodeOf is the node that a channel's messages are published at.
func (s *Subscription) nodeOf(channel string) (string, redis.UniversalClient, error) {
	cluster, ok := s.rdb.(*redis.ClusterClient)
	if !ok {
		return "", s.rdb, nil
	}
	node, err := cluster.MasterForKey(s.ctx, channel)
	if err != nil {
		return "", nil, err
	}
	return node.Options().Addr, node, nil
}

// linkTo is the link to a node. It is made if there is none.
func (s *Subscription) linkTo(addr string, node redis.UniversalClient, rest time.Duration) *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[addr]
	if l == nil {
		l = &link{of: s, addr: addr, node: node, rest: rest, channels: map[string]bool{}}
		s.links[addr] = l
		s.startLocked(func() { s.follow(l) })
	}
	return l
}

// follow hears a link until its connection fails. Its channels are placed anew then: their node may be another one.
func (s *Subscription) follow(l *link) {
	err := l.receive()
	s.mu.Lock()
	delete(s.links, l.addr)
	s.mu.Unlock()
	channels := l.close()
	if s.ctx.Err() != nil {
		return
	}
	if err != nil {
		s.follower.heard(err)
		if redis.HasErrorPrefix(err, "MOVED") {
			s.follower.look()
		}
		s.sleep(l.rest)
	}
	s.place(channels, min(2*l.rest, longestRest))
}

// regroup ends the links that have channels of another node: slots move, and a master becomes a replica.
func (s *Subscription) regroup() {
	for s.sleep(regroupEvery); s.ctx.Err() == nil; s.sleep(regroupEvery) {
		s.mu.Lock()
		links := slices.Collect(maps.Values(s.links))
		s.mu.Unlock()
		for _, l := range links {
			if slices.ContainsFunc(l.names(), func(channel string) bool {
				addr, _, err := s.nodeOf(channel)
				return err == nil && addr != l.addr
			}) {
				l.end()
			}
		}
	}
}

// sleep waits, unless the subscription is closed meanwhile.
func (s *Subscription) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	}
}

// Close ends the subscription, once, and has Receive return. It may be called more than once.
func (s *Subscription) Close() error {
	s.mu.Lock()
	s.closed = true
	links := slices.Collect(maps.Values(s.links))
	s.mu.Unlock()
	s.end()
	for _, l := range links {
		l.end()
	}
	s.running.Wait()
	return nil
}
