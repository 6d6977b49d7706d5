//go:build unix

package e2e

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/store"
)

// clockless is the client of a worker whose clock can be stopped: it then sends no heartbeat but its first, sweeps nothing, and
// does not look for work that no wake-up has told of. What such a worker still starts, it was told of, or found when it was at
// work: so a test sees that nothing is left to the clock, and need not look at one. It counts the scripts that are sent.
type clockless struct {
	redis.UniversalClient // each script has a connection of its own

	mu      sync.Mutex
	stopped bool
	count   map[string]int // by name
	waits   bool           // the worker has found nothing, and has not tried again
}

func (l *lab) clockless() *clockless {
	l.Helper()
	return &clockless{UniversalClient: connect(l.T, l.redis), count: map[string]int{}}
}

// setClock stops the clock, or has it go on.
func (c *clockless) setClock(goes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = !goes
}

// sent is how often a script was sent.
func (c *clockless) sent(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[name]
}

// all is how often each script was sent.
func (c *clockless) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.count)
}

// asynqs is the name of scripts of asynq's.
const asynqs = "asynq's"

var errStopped = errors.New("the clock stands still")

func (c *clockless) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if answer := c.instead(sha, keys); answer != nil {
		return answer
	}
	return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

// Pipeline returns a pipeline whose scripts count as well. Heartbeats go by one.
func (c *clockless) Pipeline() redis.Pipeliner { return clocklessPipe{c.UniversalClient.Pipeline(), c} }

type clocklessPipe struct {
	redis.Pipeliner
	client *clockless
}

func (p clocklessPipe) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if answer := p.client.instead(sha, keys); answer != nil {
		return answer
	}
	return p.Pipeliner.EvalSha(ctx, sha, keys, args...)
}

// Process sends a command, such as a script that goes out once: the dequeue is one.
func (c *clockless) Process(ctx context.Context, cmd redis.Cmder) error {
	if args := cmd.Args(); cmd.Name() == "evalsha" {
		c.instead(args[1].(string), nil)
	}
	return c.UniversalClient.Process(ctx, cmd)
}

// instead is what the worker is answered in place of Redis; nil: Redis answers.
func (c *clockless) instead(sha string, keys []string) *redis.Cmd {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := store.ScriptName(sha)
	switch {
	case name != "":
	case len(keys) == 5 && strings.HasSuffix(keys[0], "}:idle"):
		name = "idle"
	case len(keys) > 0 && strings.HasPrefix(keys[0], "asynq:"):
		name = asynqs
	}
	c.count[name]++
	waits := c.waits
	switch name {
	case "idle":
		c.waits = true
	case "dequeue_and_claim":
		c.waits = false
	}
	switch {
	case !c.stopped:
		return nil
	case name == "sweep", name == "sweep_gates", name == "heartbeat" && c.count[name] > 1:
		return redis.NewCmdResult(nil, errStopped)
	case name == "idle" && waits:
		return redis.NewCmdResult("idle", nil)
	}
	return nil
}
