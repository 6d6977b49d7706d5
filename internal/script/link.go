package script

import (
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// link is a Subscription's connection to a node.
type link struct {
	of   *Subscription
	addr string
	node redis.UniversalClient
	rest time.Duration // how long to wait after this link has failed; only its own goroutine uses it

	mu       sync.Mutex
	sub      *redis.PubSub // nil before it is connected
	plain    bool          // the node does not know sharded channels
	ended    bool
	channels map[string]bool
	late     []string // of the channels, those that sub does not have yet
	sending  bool     // a goroutine subscribes to those that are late
}

// add has a channel heard, too. It returns false if the link has ended.
func (l *link) add(channel string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.channels[channel] {
		return !l.ended
	}
	l.channels[channel] = true
	l.late = append(l.late, channel)
	l.sendLate()
	return true
}

// sendLate has the connection, if there is one, get the channels that are late. It does so in the background: the node may
// not answer, and others do. One goroutine does it, since go-redis has a lock around each command. The caller holds mu.
func (l *link) sendLate() {
	if l.sending || l.sub == nil || len(l.late) == 0 {
		return
	}
	l.sending = true
	l.of.start(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for l.sub != nil && len(l.late) > 0 {
			sub, plain, late := l.sub, l.plain, l.late
			l.late = nil
			l.mu.Unlock()
			l.subscribe(sub, plain, late)
			l.mu.Lock()
		}
		l.sending = false
	})
}

// names are the channels of the link.
func (l *link) names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.channels))
}

// subscribe sends what subscribes to channels. An error shows again when the connection is read.
func (l *link) subscribe(sub *redis.PubSub, plain bool, channels []string) {
	if plain {
		_ = sub.Subscribe(l.of.ctx, channels...)
		return
	}
	for _, sameSlot := range l.of.bySlot(channels) {
		_ = sub.SSubscribe(l.of.ctx, sameSlot...)
	}
}

// bySlot groups channels that one command may name: of a Cluster those with the same hash tag, else all.
func (s *Subscription) bySlot(channels []string) [][]string {
	if s.follower == nil {
		return [][]string{channels}
	}
	groups := map[string][]string{}
	for _, channel := range channels {
		_, after, _ := strings.Cut(channel, "{")
		tag, _, _ := strings.Cut(after, "}")
		groups[tag] = append(groups[tag], channel)
	}
	return slices.Collect(maps.Values(groups))
}

// connect begins a connection with the channels that there are. go-redis would name them all in one command when it
// reconnects, which a Cluster refuses, so a connection that failed is not used again. After end there is none.
func (l *link) connect(plain bool) *redis.PubSub {
	l.mu.Lock()
	old, channels := l.sub, slices.Collect(maps.Keys(l.channels))
	l.sub, l.late = nil, nil
	l.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	sub := l.node.Subscribe(l.of.ctx)
	l.subscribe(sub, plain, channels)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		_ = sub.Close()
		return nil
	}
	l.sub, l.plain = sub, plain
	l.sendLate()
	return sub
}

// receive hands on what is heard, until the connection fails or the link ends. The error is nil after end.
func (l *link) receive() error {
	sub, silent := l.connect(false), false
	for sub != nil {
		what, err := sub.ReceiveTimeout(l.of.ctx, l.of.silence)
		timeout, _ := errors.AsType[net.Error](err)
		switch {
		case l.hasEnded():
			return nil
		case err == nil:
			silent = false
			if !l.hear(what) {
				return nil
			}
		case isUnknown(err) && !l.plain:
			sub = l.connect(true)
		case timeout == nil || !timeout.Timeout() || silent:
			return err
		default:
			silent = true
			_ = sub.Ping(l.of.ctx) // if it fails, so does the next attempt to receive
		}
	}
	return nil
}

// hear hands on what a link has heard. It returns false if the node has given up a channel, whose slot has moved.
func (l *link) hear(what any) bool {
	if told, ok := what.(*redis.Subscription); ok && told.Kind == "sunsubscribe" {
		l.of.follower.look()
		return false
	}
	l.rest = firstRest
	select {
	case l.of.heard <- what:
	case <-l.of.ctx.Done():
	}
	return true
}

// isUnknown is whether Redis does not know a command.
func isUnknown(err error) bool { return redis.HasErrorPrefix(err, "unknown command") }

func (l *link) hasEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// end has receive return.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.sub != nil {
		_ = l.sub.Close()
	}
}

// close ends the link, and returns what it was to hear.
func (l *link) close() []string {
	l.end() // from now on add refuses
	return l.names()
}
