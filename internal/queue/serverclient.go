package queue

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
)

// serverClient is the Redis client of asynq's server of one queue. asynq calls it concurrently. It lets the fetcher answer
// asynq's dequeues, answers acknowledgements that came along with the end of a task, has what asynq says of itself written in the
// background, and mends two things.
//
// It cannot subscribe. asynq would only wait for cancellations that nobody sends, and its subscriber brings the process down
// when the client is closed while a slow Redis holds up the shutdown.
//
// It repeats answers until they arrive. asynq repeats one that failed each 5 s, but with a context that it has cancelled
// before the first time: the doorbell would stay active until its lease is missed, a minute or two.
type serverClient struct {
	redis.UniversalClient // sends scripts down the shared pipe
	closed                *redis.Client
	line                  *line
}

func newServerClient(rdb redis.UniversalClient, l *line) serverClient {
	closed := redis.NewClient(&redis.Options{Addr: "127.0.0.1:0"}) // never dialled; a name would be looked up
	_ = closed.Close()
	return serverClient{rdb, closed, l}
}

func (c serverClient) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return c.closed.Subscribe(ctx, channels...)
}

// ZAdd is how asynq lists its server.
func (c serverClient) ZAdd(ctx context.Context, key string, members ...redis.Z) *redis.IntCmd {
	if !announces(key) {
		return c.UniversalClient.ZAdd(ctx, key, members...)
	}
	c.line.announcer.say(func(ctx context.Context) error { return c.UniversalClient.ZAdd(ctx, key, members...).Err() })
	return redis.NewIntResult(0, nil)
}

// ZRem is how asynq takes its server from the list.
func (c serverClient) ZRem(ctx context.Context, key string, members ...any) *redis.IntCmd {
	if !announces(key) {
		return c.UniversalClient.ZRem(ctx, key, members...)
	}
	c.line.announcer.say(func(ctx context.Context) error { return c.UniversalClient.ZRem(ctx, key, members...).Err() })
	return redis.NewIntResult(0, nil)
}

func (c serverClient) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return c.run(ctx, sha, "", keys, args, func(ctx context.Context, rdb redis.Scripter) *redis.Cmd {
		return script.Discreet(rdb.EvalSha(ctx, sha, keys, args...))
	})
}

func (c serverClient) Eval(ctx context.Context, text string, keys []string, args ...any) *redis.Cmd {
	return c.run(ctx, "", text, keys, args, func(ctx context.Context, rdb redis.Scripter) *redis.Cmd {
		return script.Discreet(rdb.Eval(ctx, text, keys, args...))
	})
}

// run answers a script of asynq's, or has Redis run it. text is empty when asynq has sent no more than its hash.
func (c serverClient) run(ctx context.Context, sha, text string, keys []string, args []any,
	send func(context.Context, redis.Scripter) *redis.Cmd) *redis.Cmd {
	l := c.line
	if len(keys) > 0 && announces(keys[0]) {
		if text == "" {
			return l.announcer.evalSha(sha, keys, args)
		}
		return l.announcer.eval(text, keys, args)
	}
	s, recognised, isLearned := l.lessons.note(text, keys, args)
	if !recognised && resembles(l.queue, keys, args) {
		l.lessons.warn("has changed its scripts: it runs them in its own way, which is slower")
	}
	switch {
	case s.operation == done && l.acknowledged.remove(s.id):
		return redis.NewCmdResult("OK", nil)
	case (s.operation == done || s.operation == dequeues) && !isLearned:
		return redis.NewCmdResult(nil, redis.ErrNoScript) // asynq then sends the text
	case s.operation == dequeues:
		return l.fetcher.answer(ctx)
	}
	ctx, rdb, cancel := c.revived(ctx, s)
	defer cancel()
	return c.follow(ctx, s, send(ctx, rdb))
}

// follow does what follows from what asynq has just done.
func (c serverClient) follow(ctx context.Context, s sent, cmd *redis.Cmd) *redis.Cmd {
	settle(s, cmd)
	if err := cmd.Err(); err != nil {
		if !redis.HasErrorPrefix(err, "NOSCRIPT") {
			c.line.fetcher.countError("asynq", err)
		}
		return cmd
	}
	switch s.operation {
	case forwards:
		if moved, err := cmd.Int(); err == nil && moved > 0 {
			c.line.fetcher.woken()
			_ = wake(ctx, c.UniversalClient, c.line.queue, moved) // idle workers look by themselves, too
		}
	case retries:
		c.line.timers.start(s.id)
	}
	return cmd
}

// revived lets a repeated answer run until its deadline, the end of the lease: after that the doorbell may be another worker's.
// The deadline is the only thing that asynq still means by a context that it has cancelled. What is in a pipe outlives its
// deadline, so the answer goes another way.
func (c serverClient) revived(ctx context.Context, s sent) (context.Context, redis.UniversalClient, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !errors.Is(ctx.Err(), context.Canceled) || !ok || !s.answers {
		return ctx, c.UniversalClient, func() {}
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	return ctx, script.Plain(c.UniversalClient), cancel
}

// settle takes an answer whose doorbell is not active for acknowledged. Most likely a copy of this answer whose reply was lost
// did that. asynq would repeat it, and might so answer the next doorbell with the same id.
func settle(s sent, cmd *redis.Cmd) {
	if err := cmd.Err(); err != nil && err.Error() == "NOT FOUND" && s.answers {
		cmd.SetErr(nil)
	}
}
