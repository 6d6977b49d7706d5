package queue

import (
	"context"
	"fmt"

	"github.com/refq/refq/internal/store"
)

// Needs are what asynq, as it is used here, and this package do with the keys of a queue, and asynq with its own of all queues.
func Needs(queue string) []store.Need {
	prefix := keyPrefix(queue)
	return []store.Need{
		{Keys: prefix + "*", Key: prefix + "t:probe", Commands: []string{
			"EXISTS $", "EXPIREAT $ 9999999999", "GET $", "INCR $", "SET $ x",
			"HDEL $ f", "HGET $ f", "HMGET $ f", "HSET $ f x", "LLEN $", "LPUSH $ x", "LRANGE $ 0 1", "LREM $ 0 x", "RPOPLPUSH $ $", "RPUSH $ x",
			"ZADD $ 1 x", "ZCARD $", "ZRANGE $ 0 1", "ZRANGEBYSCORE $ 0 1", "ZREM $ x", "ZSCORE $ x",
		}},
		{Keys: "refq:{" + queue + "}:*", Key: store.IdleKey(queue) + ":probe", Commands: []string{
			"DEL $", "EXISTS $", "LINDEX $ 0", "LLEN $", "LPUSH $ x", "LRANGE $ 0 1", "LREM $ 0 x", "RPOP $", "RPOPLPUSH $ $",
			"SADD $ x", "SCARD $", "SMEMBERS $", "SPOP $", "SREM $ x",
		}},
		{Keys: "asynq:queues", Key: "asynq:queues", Shared: true, Commands: []string{"SADD $ x", "SISMEMBER $ x"}},
		{Keys: "asynq:servers*", Key: "asynq:servers:{probe}", Commands: []string{"SETEX $ 1 x", "ZADD $ 1 x", "ZREM $ x"}},
		{Keys: "asynq:workers*", Key: "asynq:workers:{probe}", Commands: []string{"EXPIRE $ 1", "HSET $ f x", "ZADD $ 1 x", "ZREM $ x"}},
	}
}

// Archived is how many doorbells asynq keeps in its archive of a queue.
func (c *Client) Archived(ctx context.Context, queue string) (int, error) {
	n, err := c.rdb.ZCard(ctx, "asynq:{"+queue+"}:archived").Result()
	if err != nil {
		return 0, fmt.Errorf("count asynq's archive of queue %s: %w", queue, err)
	}
	return int(n), nil
}
