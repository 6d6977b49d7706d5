// Package script runs Lua scripts in Redis: once, many in one pipeline, behind another script, and those of many
// callers down one connection, each without waiting for the answers to those before it. Redis then reads and writes
// many at a time, and a slow network holds up nobody but the first.
package script

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxShared is how many bytes of arguments go down the shared connection. A larger script would hold up those behind
// it, so it goes over a connection of its own.
const maxShared = 64 << 10

// rest is how long the pipe is left alone after Redis could last not be reached: it waits before it connects again, and
// longer each time. Meanwhile scripts go over connections of their own.
const rest = 5 * time.Second

// client is a Redis client that pipes scripts. All else goes its own way.
type client struct {
	*redis.Client
	crowd *crowd
	broke *atomic.Int64 // when a connection last did, or could not be made, in Unix ns
}

// New returns a client that pipes the scripts sent through it if rdb was made with [redis.Options.AutoPipelineOptions],
// as refq.Connect does for one server, else rdb. It ends with rdb. Those who share the returned client have their
// scripts sent together.
//
// A script sent through it ends with its context, although what is in the pipe may still be sent, and run. One whose
// connection breaks is sent again as rdb's settings have it, over another one, unless its NoRetry says no.
func New(rdb redis.UniversalClient) redis.UniversalClient {
	plain, ok := rdb.(*redis.Client)
	if !ok || plain.Options().AutoPipelineOptions == nil {
		return rdb
	}
	engine, err := plain.AsyncAutoPipeline()
	if err != nil {
		return rdb // its options are not ours, and it says so to whoever uses them
	}
	return client{plain, &crowd{engine: engine}, new(atomic.Int64)}
}

// Plain returns the client that pipes, or would pipe, the scripts sent through rdb: one that sends each over a
// connection of its own.
func Plain(rdb redis.UniversalClient) redis.UniversalClient {
	if c, ok := rdb.(client); ok {
		return c.Client
	}
	return rdb
}

func (c client) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return c.run(ctx, newCommand(ctx, "evalsha", sha, keys, args))
}

func (c client) Eval(ctx context.Context, text string, keys []string, args ...any) *redis.Cmd {
	return c.run(ctx, newCommand(ctx, "eval", text, keys, args))
}

func (c client) run(ctx context.Context, cmd *redis.Cmd) *redis.Cmd {
	_ = c.Process(ctx, cmd) // cmd keeps the error
	return Discreet(cmd)
}

// script is a command that is sent down the pipe: [redis.Cmd], or one that embeds it.
type script interface {
	redis.Cmder
	SetVal(any)
}

// Process sends a command and waits for its answer.
func (c client) Process(ctx context.Context, cmd redis.Cmder) error {
	s, ok := cmd.(script)
	name := cmd.Name()
	if !ok || name != "evalsha" && name != "eval" || size(cmd.Args()) > maxShared || c.rests() {
		return c.apart(ctx, cmd)
	}
	if err := ctx.Err(); err != nil {
		s.SetErr(err)
		return err
	}
	// What is in the pipe cannot be called back. The caller's own command must not change under it when it has gone.
	piped := redis.NewCmd(ctx, cmd.Args()...)
	piped.SetFirstKeyPos(3)
	// It is sent once: the pipe would keep everybody waiting while it tries again, and send what nobody waits for any
	// more.
	err := c.crowd.submit(ctx, sendOnce{piped}).WaitContext(ctx)
	c.note(err)
	switch {
	case err != nil && ctx.Err() != nil && !answered(err):
		s.SetErr(ctx.Err())
		return ctx.Err()
	case broken(err) && !cmd.NoRetry():
		return c.apart(ctx, cmd)
	}
	s.SetVal(piped.Val())
	s.SetErr(err)
	return err
}

// answered reports whether an error is what Redis says.
func answered(err error) bool {
	var refusal redis.Error
	return errors.As(err, &refusal)
}

// broken reports whether a connection broke while an answer was awaited. One that cannot be made is no reason to try
// again: that was done.
func broken(err error) bool {
	dial, _ := errors.AsType[*net.OpError](err)
	return err != nil && !answered(err) && (dial == nil || dial.Op != "dial")
}

// apart sends a command over a connection of its own.
func (c client) apart(ctx context.Context, cmd redis.Cmder) error {
	err := c.Client.Process(ctx, cmd)
	c.note(err)
	return err
}

// note notes when an error is one of the network.
func (c client) note(err error) {
	if err != nil && !answered(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		c.broke.Store(time.Now().UnixNano())
	}
}

func (c client) rests() bool { return time.Since(time.Unix(0, c.broke.Load())) < rest }

// size is how many bytes of texts a command has.
func size(args []any) (n int) {
	for _, arg := range args {
		switch text := arg.(type) {
		case string:
			n += len(text)
		case []byte:
			n += len(text)
		}
	}
	return n
}
