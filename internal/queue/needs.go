package queue

import (
	"context"
	"fmt"

	"github.com/refq/refq/internal/store"
)

// Needs are what asynq, as it is used here, and this package do with the keys of a queue, and asynq with its own of all queues.
func Needs(queue string) []store.Need {
	prefix, probe := keyPrefix(queue), keyPrefix(queue)+"t:probe"
	ours, tried := "refq:{"+queue+"}:*", store.IdleKey(queue)+":probe"
	return []store.Need{
		{By: store.Everybody, Keys: prefix + "*", Key: probe, Commands: []string{
			"EXISTS $", "GET $", "HGET $ f", "HSET $ f x", "LLEN $", "LPUSH $ x", "LRANGE $ 0 1", "ZSCORE $ x",
		}},
		{By: store.Worker | store.Operator, Keys: prefix + "*", Key: probe, Commands: []string{"SET $ x", "ZCARD $"}},
		{By: store.Worker, Keys: prefix + "*", Key: probe, Commands: []string{
			"EXPIREAT $ 9999999999", "INCR $", "HDEL $ f", "HMGET $ f", "LREM $ 0 x", "RPOPLPUSH $ $", "RPUSH $ x",
			"ZADD $ 1 x", "ZRANGE $ 0 1", "ZRANGEBYSCORE $ 0 1", "ZREM $ x",
			"ZREMRANGEBYRANK $ 0 0", "ZREMRANGEBYSCORE $ 0 1", // of its archive
		}},
		{By: store.Everybody, Keys: ours, Key: tried, Commands: []string{
			"LLEN $", "LRANGE $ 0 1", "SCARD $", "SMEMBERS $", "SPOP $", "SREM $ x",
		}},
		{By: store.Worker, Keys: ours, Key: tried, Commands: []string{
			"EXISTS $", "LINDEX $ 0", "LPOS $ x", "LPUSH $ x", "LREM $ 0 x", "RPOP $", "RPOPLPUSH $ $", "SADD $ x",
		}},
		{By: store.Everybody, Keys: "asynq:queues", Key: "asynq:queues", Shared: true, Commands: []string{"SADD $ x"}},
		{By: store.Worker, Keys: "asynq:servers*", Key: "asynq:servers:{probe}", Commands: []string{"SETEX $ 1 x", "ZADD $ 1 x", "ZREM $ x"}},
		{By: store.Worker, Keys: "asynq:workers*", Key: "asynq:workers:{probe}", Commands: []string{"EXPIRE $ 1", "HSET $ f x", "ZADD $ 1 x", "ZREM $ x"}},
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
