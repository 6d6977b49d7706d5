package script

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// A subscription whose connection broke is made anew after firstRest, and up to longestRest if that fails.
	firstRest   = 50 * time.Millisecond
	longestRest = time.Second
)

// Subscription hears the messages of channels, over one connection. It mends itself, and what was published meanwhile is
// lost: the next confirmation says so. Its methods may be called from several goroutines, but Receive from one.
type Subscription struct {
	rdb      redis.UniversalClient
	silence  time.Duration
	follower *follower       // nil without a Cluster
	ctx      context.Context // ends with Close, so that no attempt to connect holds that up
	end      context.CancelFunc

	mu       sync.Mutex
	sub      *redis.PubSub // nil when it is closed
	channels []string
	begun    bool // Receive was called
}

// Subscribe returns a Subscription to channels, which may be none yet. It sends nothing: Receive does. After so long a silence
// the connection is tried, and after as long once more it is made anew.
func Subscribe(rdb redis.UniversalClient, silence time.Duration, channels ...string) *Subscription {
	s := &Subscription{rdb: rdb, silence: silence, sub: rdb.Subscribe(context.Background()), channels: channels}
	s.ctx, s.end = context.WithCancel(context.Background())
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		s.follower = followNodes(cluster)
	}
	return s
}

// Add subscribes to another channel. If Redis cannot be reached, Receive does so later.
func (s *Subscription) Add(channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels = append(s.channels, channel)
	if s.sub != nil && s.begun {
		_ = s.sub.Subscribe(s.ctx, channel) // it keeps the channel, whatever comes of it
	}
}

// Receive hands each message and each confirmation to hear, until Close: [redis.Message] and [redis.Subscription], by
// pointer. A confirmation after the first of a channel means that messages may have been missed.
func (s *Subscription) Receive(hear func(any)) {
	rest, silent := firstRest, false
	for sub := s.begin(); sub != nil; sub = s.current() {
		what, err := sub.ReceiveTimeout(s.ctx, s.silence)
		timeout, _ := errors.AsType[net.Error](err)
		switch {
		case err == nil:
			rest, silent = firstRest, false
			hear(what)
		case timeout == nil || !timeout.Timeout():
			s.follower.heard(err)
			s.sleep(rest)
			rest, silent = min(2*rest, longestRest), false
		case silent:
			s.follower.heard(err)
			silent = false
			s.renew()
		default:
			silent = true
			_ = sub.Ping(s.ctx) // if it fails, the connection is made anew
		}
	}
}

// begin subscribes to the first channels.
func (s *Subscription) begin() *redis.PubSub {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = true
	if s.sub != nil && len(s.channels) > 0 {
		_ = s.sub.Subscribe(s.ctx, s.channels...)
	}
	return s.sub
}

func (s *Subscription) current() *redis.PubSub {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sub
}

// renew makes the subscription over a new connection: the old one is silent, and may be so for long.
func (s *Subscription) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sub != nil {
		_ = s.sub.Close()
		s.sub = s.rdb.Subscribe(s.ctx, s.channels...)
	}
}

// sleep waits, unless the subscription is closed meanwhile.
func (s *Subscription) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	}
}

// Close ends the subscription, once, and has Receive return.
func (s *Subscription) Close() error {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sub == nil {
		return nil
	}
	sub := s.sub
	s.sub = nil
	return sub.Close()
}
