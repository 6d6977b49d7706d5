package store

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
)

// Refused tries what refq does in Redis, and returns what Redis refuses. Nothing of what it tries stays. Of a Cluster it tells what
// the nodes refuse that answer, each by its address, or without one what all of them refuse.
func (s *Store) Refused(ctx context.Context, needs []Need) ([]monitor.Refusal, error) {
	found, _, err := onNodes(ctx, s.rdb, func(ctx context.Context, addr string, rdb redis.UniversalClient) (anywhere, error) {
		if s.silent[addr] != nil {
			return anywhere{}, nil
		}
		refused, err := refusedScripts(ctx, rdb)
		if err != nil {
			return anywhere{}, err
		}
		channels, err := refusedChannels(ctx, rdb)
		return anywhere{refused, channels}, err
	})
	if err != nil {
		return nil, err
	}
	scripts, channels := map[string][]monitor.Refusal{}, map[string][]monitor.Refusal{}
	for addr, refused := range found {
		if s.silent[addr] == nil {
			scripts[addr], channels[addr] = refused.scripts, refused.channels
		}
	}
	refused := byNodes(scripts)
	if len(refused) == 0 { // all keys are tried by a script
		if refused, err = s.refusedNeeds(ctx, United(needs)); err != nil {
			return nil, err
		}
	}
	return compact(append(refused, byNodes(channels)...)), nil
}

// anywhere is what a node refuses of what is not about keys.
type anywhere struct{ scripts, channels []monitor.Refusal }

// byNodes says what nodes refuse, and which ones, unless all of them do.
func byNodes(found map[string][]monitor.Refusal) (all []monitor.Refusal) {
	for _, addr := range slices.Sorted(maps.Keys(found)) {
		for _, r := range found[addr] {
			everywhere := true
			for _, others := range found {
				everywhere = everywhere && slices.ContainsFunc(others, func(o monitor.Refusal) bool { return reflect.DeepEqual(o, r) })
			}
			if !everywhere {
				r.Node = addr
			}
			all = append(all, r)
		}
	}
	return all
}

// refusedNeeds tries each where its key is.
func (s *Store) refusedNeeds(ctx context.Context, needs []Need) (all []monitor.Refusal, err error) {
	keys, of := make([]string, len(needs)), map[string]Need{}
	for i, n := range needs {
		keys[i], of[n.Key] = n.Key, n
	}
	refused, _, err := byNode(ctx, s, keys, func(key string) string { return key }, func(ctx context.Context, key string) ([]monitor.Refusal, error) {
		refused, err := s.refusedKeys(ctx, of[key])
		if _, cluster := s.rdb.(*redis.ClusterClient); cluster {
			for i := range refused {
				refused[i].Node = script.NodeOf(ctx, s.rdb, key)
			}
		}
		return refused, err
	})
	for _, key := range keys {
		all = append(all, refused[key]...)
	}
	return all, err
}

// User is whom Redis takes us for; empty if nobody tells.
func (s *Store) User(ctx context.Context) (string, error) {
	rdb, err := script.Anywhere(ctx, s.rdb)
	if err != nil {
		return "", fmt.Errorf("ask Redis who we are: %w", err)
	}
	user, err := rdb.Do(ctx, "ACL", "WHOAMI").Text()
	if err != nil && !Refuses(err) {
		return "", fmt.Errorf("ask Redis who we are: %w", err)
	}
	if one, ok := script.Plain(s.rdb).(*redis.Client); ok && err != nil {
		return one.Options().Username, nil
	}
	return user, nil
}

func refusedScripts(ctx context.Context, rdb redis.UniversalClient) ([]monitor.Refusal, error) {
	var refused []monitor.Refusal
	empty := redis.NewScript("return 1")
	for _, try := range []struct {
		command string
		err     error
	}{{"EVAL", empty.Eval(ctx, rdb, nil).Err()}, {"EVALSHA", empty.EvalSha(ctx, rdb, nil).Err()}} {
		switch {
		case try.err == nil, redis.HasErrorPrefix(try.err, "NOSCRIPT"):
		case Refuses(try.err):
			refused = append(refused, refusal(try.err, monitor.Refusal{}, try.command))
		default:
			return nil, fmt.Errorf("try to run a script: %w", try.err)
		}
	}
	return refused, nil
}

// refusal says what an error refuses: the keys or channels as such, or the command.
func refusal(err error, about monitor.Refusal, command string) monitor.Refusal {
	switch text := err.Error(); {
	case !strings.HasPrefix(text, "NOPERM") && !strings.HasPrefix(text, "ERR unknown command"):
		return monitor.Refusal{Reason: text}
	// "one of the keys" or "channels used as arguments"; since Redis 7.2, and of Valkey, "a key" or "a channel".
	case strings.Contains(text, "access one of the"), strings.Contains(text, "to access a "):
		return about
	}
	return monitor.Refusal{Commands: []string{command}}
}

func (s *Store) refusedKeys(ctx context.Context, n Need) ([]monitor.Refusal, error) {
	args := []any{"scratch"}
	if n.Shared {
		args[0] = "shared"
	}
	for _, command := range n.Commands {
		args = append(args, command)
	}
	answer, err := permittedScript().Eval(ctx, s.rdb, []string{n.Key}, args...).Slice()
	if Refuses(err) {
		return []monitor.Refusal{refusal(err, monitor.Refusal{Keys: n.Keys}, "EVAL")}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("try what is permitted on %s: %w", n.Keys, err)
	}
	var refused []monitor.Refusal
	if commands := reply(answer).texts(0); len(commands) > 0 {
		refused = append(refused, monitor.Refusal{Keys: n.Keys, Commands: commands})
	}
	if reason := reply(answer).text(1); reason != "" {
		refused = append(refused, monitor.Refusal{Keys: n.Keys, Reason: reason})
	}
	return refused, nil
}

// channelTimeout bounds the look at channels: for a confirmation the client itself would wait for ever.
const channelTimeout = 10 * time.Second

func refusedChannels(ctx context.Context, rdb redis.UniversalClient) ([]monitor.Refusal, error) {
	ctx, cancel := context.WithTimeout(ctx, channelTimeout)
	defer cancel()
	var refused []monitor.Refusal
	for _, pattern := range Channels() {
		name := strings.ReplaceAll(pattern, "*", "probe")
		for _, try := range messaging(ctx, rdb, name) {
			switch {
			case try.err == nil, redis.HasErrorPrefix(try.err, "MOVED"): // a node looks at rights first
			case Refuses(try.err):
				refused = append(refused, refusal(try.err, monitor.Refusal{Channels: pattern}, try.command))
			default:
				return nil, fmt.Errorf("try to use channel %s: %w", name, try.err)
			}
		}
	}
	return refused, nil
}

// tried is a command and what came of it.
type tried struct {
	command string
	err     error
}

// messaging tries to subscribe to a channel and to publish there, as the messages of scripts do: sharded where Redis knows
// that, else plain.
func messaging(ctx context.Context, rdb redis.UniversalClient, channel string) []tried {
	sharded := []tried{
		{"SSUBSCRIBE", confirmed(ctx, rdb.SSubscribe(ctx, channel))}, {"SPUBLISH", rdb.SPublish(ctx, channel, "").Err()},
	}
	if !redis.HasErrorPrefix(sharded[0].err, "unknown command") {
		return sharded
	}
	return []tried{
		{"SUBSCRIBE", confirmed(ctx, rdb.Subscribe(ctx, channel))}, {"PUBLISH", rdb.Publish(ctx, channel, "").Err()},
	}
}

// confirmed returns why a subscription is not confirmed, and ends it.
func confirmed(ctx context.Context, sub *redis.PubSub) error {
	_, err := sub.Receive(ctx)
	_ = sub.Close() // nothing is lost with it
	return err
}

// compact takes out what is said twice.
func compact(refused []monitor.Refusal) []monitor.Refusal {
	var once []monitor.Refusal
	for _, r := range refused {
		if !slices.ContainsFunc(once, func(o monitor.Refusal) bool { return reflect.DeepEqual(o, r) }) {
			once = append(once, r)
		}
	}
	return once
}
