package doorbell

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// serverClient is a Redis client as asynq's server gets it. It mends two things.
//
// It cannot subscribe: asynq would only wait for cancellations that nobody sends, and its subscriber brings the process
// down when the client is closed while a slow Redis holds up the shutdown.
//
// It sees answers to asynq through. asynq repeats one that was not acknowledged each 5 s, but with a context that it
// has cancelled before the first time: the doorbell would stay active until its lease is missed, a minute or two.
type serverClient struct {
	redis.UniversalClient
	closed *redis.Client
}

func newServerClient(rdb redis.UniversalClient) serverClient {
	closed := redis.NewClient(&redis.Options{Addr: "127.0.0.1:0"}) // never dialled; a name would be looked up
	_ = closed.Close()
	return serverClient{rdb, closed}
}

func (c serverClient) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return c.closed.Subscribe(ctx, channels...)
}

func (c serverClient) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	ctx, cancel := revived(ctx, keys)
	defer cancel()
	return settled(c.UniversalClient.EvalSha(ctx, sha, keys, args...), keys)
}

func (c serverClient) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	ctx, cancel := revived(ctx, keys)
	defer cancel()
	return settled(c.UniversalClient.Eval(ctx, script, keys, args...), keys)
}

// movesActive reports whether a script takes a doorbell out of asynq's active ones, by its keys.
func movesActive(keys []string) bool {
	has := func(suffix string) bool {
		return slices.ContainsFunc(keys, func(key string) bool { return strings.HasSuffix(key, suffix) })
	}
	return has("}:active") && has("}:lease")
}

// revived lets a repeated answer run until its deadline, the end of the lease: after that the doorbell may be another
// worker's. The deadline is the only thing that asynq still means by a context that it has cancelled.
func revived(ctx context.Context, keys []string) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !errors.Is(ctx.Err(), context.Canceled) || !ok || !movesActive(keys) {
		return ctx, func() {}
	}
	return context.WithDeadline(context.WithoutCancel(ctx), deadline)
}

// settled takes an answer whose doorbell is not active for acknowledged. It was, most likely by a copy of this answer
// whose reply was lost; asynq would repeat it, and might so answer the next ring of the same doorbell.
func settled(cmd *redis.Cmd, keys []string) *redis.Cmd {
	if err := cmd.Err(); err != nil && err.Error() == "NOT FOUND" && movesActive(keys) {
		cmd.SetErr(nil)
	}
	return cmd
}
