package store

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// once is a client that sends a script once, however often it may repeat other commands.
type once struct{ redis.UniversalClient }

func (c once) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	return c.send(ctx, "evalsha", sha1, keys, args)
}

func (c once) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return c.send(ctx, "eval", script, keys, args)
}

func (c once) send(ctx context.Context, name, script string, keys []string, args []any) *redis.Cmd {
	words := []any{name, script, len(keys)}
	for _, key := range keys {
		words = append(words, key)
	}
	cmd := redis.NewCmd(ctx, append(words, args...)...)
	cmd.SetFirstKeyPos(3)
	_ = c.Process(ctx, unrepeated{cmd}) // cmd keeps the error
	return cmd
}

type unrepeated struct{ *redis.Cmd }

func (unrepeated) NoRetry() bool { return true }
