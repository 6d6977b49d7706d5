package asynqmon

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// shared gives asynqmon our connections.
type shared struct{ rdb redis.UniversalClient }

func (s shared) MakeRedisClient() any { return s.rdb }

// share is rdb with sizeless in its way: in front of a client of the same connections, where there can be one.
func share(rdb redis.UniversalClient) shared {
	if one, ok := rdb.(*redis.Client); ok {
		one = one.WithTimeout(one.Options().ReadTimeout)
		one.AddHook(sizeless{})
		return shared{one}
	}
	rdb.AddHook(sizeless{})
	return shared{rdb}
}

// sizeless lets asynq tell of a queue although Redis does not tell how much memory it takes. asynq v0.26.0 gives up on
// all queues, else, when one task of one queue is in a list and its hash is gone, or where MEMORY is not permitted.
type sizeless struct{}

func (sizeless) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (sizeless) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (sizeless) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		asked, ok := cmd.(*redis.Cmd)
		if _, refused := errors.AsType[redis.Error](err); !ok || !refused || !asksForSize(cmd) || redis.HasErrorPrefix(err, "NOSCRIPT") {
			return err
		}
		asked.SetErr(nil)
		asked.SetVal(int64(0))
		return nil
	}
}

// asksForSize reports whether a command is asynq's script for the memory of a queue. asynq keeps its text to itself, but no
// other script has these keys.
func asksForSize(cmd redis.Cmder) bool {
	args := cmd.Args() // evalsha, hash, number of keys, keys, …
	if name := cmd.Name(); name != "evalsha" && name != "eval" || len(args) < 10 || args[2] != 7 {
		return false
	}
	first, _ := args[3].(string)
	last, _ := args[9].(string)
	return strings.HasPrefix(first, "asynq:{") && strings.HasSuffix(first, "}:active") && strings.HasSuffix(last, "}:groups")
}
