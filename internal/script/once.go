package script

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Once returns a client that sends each script through rdb once, however often rdb repeats other commands.
func Once(rdb redis.UniversalClient) redis.UniversalClient { return once{rdb} }

type once struct{ redis.UniversalClient }

func (c once) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return c.send(ctx, newCommand(ctx, "evalsha", sha, keys, args))
}

func (c once) Eval(ctx context.Context, text string, keys []string, args ...any) *redis.Cmd {
	return c.send(ctx, newCommand(ctx, "eval", text, keys, args))
}

func (c once) send(ctx context.Context, cmd *redis.Cmd) *redis.Cmd {
	_ = c.Process(ctx, sendOnce{cmd}) // cmd keeps the error
	return Discreet(cmd)
}

// sendOnce is a command that the client does not repeat.
type sendOnce struct{ *redis.Cmd }

func (sendOnce) NoRetry() bool { return true }

// newCommand returns the command that runs a script, by its text or its hash.
func newCommand(ctx context.Context, name, script string, keys []string, args []any) *redis.Cmd {
	words := make([]any, 0, 3+len(keys)+len(args))
	words = append(words, name, script, len(keys))
	for _, key := range keys {
		words = append(words, key)
	}
	cmd := redis.NewCmd(ctx, append(words, args...)...)
	cmd.SetFirstKeyPos(3)
	return cmd
}
