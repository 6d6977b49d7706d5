package queue

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
)

// serverClient is a Redis client as asynq's server gets it. It lets the fetcher answer asynq's dequeues, and acks its
// acknowledgements that came along with the end of a task, and mends two things.
//
// It cannot subscribe: asynq would only wait for cancellations that nobody sends, and its subscriber brings the process
// down when the client is closed while a slow Redis holds up the shutdown.
//
// It sees answers to asynq through. asynq repeats one that was not acknowledged each 5 s, but with a context that it
// has cancelled before the first time: the doorbell would stay active until its lease is missed, a minute or two.
type serverClient struct {
	redis.UniversalClient
	scripts redis.UniversalClient // the same, for what is a script
	closed  *redis.Client
	line    *line
}

func newServerClient(rdb redis.UniversalClient, l *line) serverClient {
	closed := redis.NewClient(&redis.Options{Addr: "127.0.0.1:0"}) // never dialled; a name would be looked up
	_ = closed.Close()
	return serverClient{script.Plain(rdb), script.New(rdb), closed, l}
}

func (c serverClient) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return c.closed.Subscribe(ctx, channels...)
}

func (c serverClient) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if isDequeue(keys, args) {
		return c.line.fetcher.ask(ctx, "", keys, args)
	}
	if answer, ok := c.line.acks.evalSha(keys, args); ok {
		return answer
	}
	ctx, rdb, cancel := c.revived(ctx, keys)
	defer cancel()
	return c.seen(ctx, rdb.EvalSha(ctx, sha, keys, args...), keys, args)
}

func (c serverClient) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	if isDequeue(keys, args) {
		return c.line.fetcher.ask(ctx, script, keys, args)
	}
	if _, ok := acknowledges(keys, args); ok {
		c.line.acks.learn(script, keys, args)
	}
	ctx, rdb, cancel := c.revived(ctx, keys)
	defer cancel()
	return c.seen(ctx, rdb.Eval(ctx, script, keys, args...), keys, args)
}

// seen does what follows from what asynq has just done.
func (c serverClient) seen(ctx context.Context, cmd *redis.Cmd, keys []string, args []any) *redis.Cmd {
	settle(cmd, keys)
	if err := cmd.Err(); err != nil {
		if !redis.HasErrorPrefix(err, "NOSCRIPT") {
			c.line.fetcher.fault("asynq", err)
		}
		return cmd
	}
	if moved, err := cmd.Int(); err == nil && moved > 0 && isForward(keys) {
		c.line.fetcher.chimed()
		_ = chime(ctx, c.scripts, c.line.fetcher.queue, moved) // idle workers look by themselves, too
	}
	if id, ok := putOff(keys, args); ok {
		c.line.timers.start(id)
	}
	return cmd
}

// isForward reports whether a script with these keys is the one that moves doorbells that are due into asynq's list.
func isForward(keys []string) bool {
	return len(keys) == 2 && strings.HasSuffix(keys[1], "}:pending") &&
		(strings.HasSuffix(keys[0], "}:retry") || strings.HasSuffix(keys[0], "}:scheduled"))
}

// putOff returns the id of the doorbell that a script with these keys and arguments puts off, if it is the one that does.
func putOff(keys []string, args []any) (id string, ok bool) {
	if !movesActive(keys) || len(keys) < 4 || !strings.HasSuffix(keys[3], "}:retry") || len(args) == 0 {
		return "", false
	}
	id, ok = args[0].(string)
	return id, ok
}

// movesActive reports whether a script moves a doorbell into or out of asynq's active ones, by its keys.
func movesActive(keys []string) bool {
	has := func(suffix string) bool {
		return slices.ContainsFunc(keys, func(key string) bool { return strings.HasSuffix(key, suffix) })
	}
	return has("}:active") && has("}:lease")
}

// revived lets a repeated answer run until its deadline, the end of the lease: after that the doorbell may be another
// worker's. The deadline is the only thing that asynq still means by a context that it has cancelled. What is in a pipe
// outlives its deadline, so it goes another way.
func (c serverClient) revived(ctx context.Context, keys []string) (context.Context, redis.UniversalClient, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !errors.Is(ctx.Err(), context.Canceled) || !ok || !movesActive(keys) {
		return ctx, c.scripts, func() {}
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	return ctx, c.UniversalClient, cancel
}

// settle takes an answer whose doorbell is not active for acknowledged. It was, most likely by a copy of this answer
// whose reply was lost; asynq would repeat it, and might so answer the next ring of the same doorbell.
func settle(cmd *redis.Cmd, keys []string) {
	if err := cmd.Err(); err != nil && err.Error() == "NOT FOUND" && movesActive(keys) {
		cmd.SetErr(nil)
	}
}
