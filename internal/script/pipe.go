// Package script runs Lua scripts in Redis: once, many in one pipeline, behind another script, and those of many
// callers down one connection, each without waiting for the answers to those before it. Redis then reads and writes
// many at a time, and a slow network holds up nobody but the first.
package script

import (
	"context"
	"errors"
	"net"
	"strings"
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

// checkEvery is how often a command that writes follows a script down the shared connection. A master that has been demoted
// goes on answering those that only read.
const checkEvery = 10 * time.Second

// client is a Redis client that pipes scripts. All else goes its own way.
type client struct {
	*redis.Client
	*shared
}

// shared is the connection that scripts share.
type shared struct {
	crowd   *crowd
	dialer  *Dialer // nil if the client dials in another way: its connections are out of reach
	detour  detour
	broke   atomic.Int64 // when a connection last did, or could not be made, in Unix ns
	checked atomic.Int64 // when a command that writes was last sent, in Unix ns
}

// New returns a client that pipes the scripts sent through it if rdb was made with [redis.Options.AutoPipelineOptions],
// as refq.Connect does for one server, else rdb. It ends with rdb. Those who share the returned client have their
// scripts sent together.
//
// A script sent through it ends with its context, although what is in the pipe may still be sent, and run. One whose
// connection breaks is sent again as rdb's settings have it, over another one, unless its NoRetry says no. One that has come
// to the wrong server has not run, and is sent again in any case. Scripts go around the shared connection then for 1 s, and
// longer each time, up to 10 s; and connections that a [Dialer] has made before are left.
//
// The client of a Cluster, also one that is used already, looks for the nodes anew when one of them fails.
func New(rdb redis.UniversalClient) redis.UniversalClient {
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		followNodes(cluster)
	}
	plain, ok := rdb.(*redis.Client)
	if !ok || plain.Options().AutoPipelineOptions == nil {
		return rdb
	}
	engine, err := plain.AsyncAutoPipeline()
	if err != nil {
		return rdb // its options are not ours, and it says so to whoever uses them
	}
	s := &shared{crowd: &crowd{engine: engine}, dialer: dialers.Find(plain)}
	s.checked.Store(time.Now().UnixNano())
	return client{plain, s}
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
	if !ok || name != "evalsha" && name != "eval" || size(cmd.Args()) > maxShared || c.rests() || c.detour.on() {
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
	case misdirected(err):
		c.turnAway()
		return c.apart(ctx, cmd)
	case broken(err) && !cmd.NoRetry():
		return c.apart(ctx, cmd)
	case err == nil:
		c.check(cmd)
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
	if misdirected(err) && c.turnAway() && cmd.NoRetry() {
		err = c.Client.Process(ctx, cmd) // it has not run
	}
	c.note(err)
	return err
}

// turnAway has scripts go around the shared connection, and leaves all connections that were made before. It answers false
// when that was done already.
func (c client) turnAway() bool {
	if !c.detour.begin() {
		return false
	}
	c.checked.Store(0) // the next script that comes down the shared connection is followed by a check
	if c.dialer != nil {
		c.dialer.leave(time.Now())
	}
	return true
}

// check sends a command that writes, though nothing, down the shared connection behind a script about a queue, if that was
// long ago.
func (c client) check(cmd redis.Cmder) {
	last, now := c.checked.Load(), time.Now().UnixNano()
	if now-last < int64(checkEvery) {
		return
	}
	key := nobodysKey(cmd.Args())
	if key == "" || !c.checked.CompareAndSwap(last, now) {
		return
	}
	ctx := context.Background()
	future := c.crowd.submit(ctx, sendOnce{redis.NewCmd(ctx, "del", key)})
	go func() {
		if misdirected(future.WaitContext(ctx)) { // which ends with the connection at the latest
			c.turnAway()
		}
	}()
}

// nobodysKey returns a key that is never there, in the slot of a script's first key; "" if that is in no queue's.
func nobodysKey(args []any) string {
	if len(args) <= 3 {
		return ""
	}
	first, _ := args[3].(string)
	prefix, _, ok := strings.Cut(first, "}:")
	if !ok || !strings.HasPrefix(prefix, "refq:{") {
		return ""
	}
	return prefix + "}:-"
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
