package queue_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

func (h *house) enqueueMany(tasks []store.Record, patience time.Duration) {
	h.Helper()
	for _, err := range h.bell.EnqueueMany(h.Context(), tasks, patience) {
		require.NoError(h, err)
	}
}

// asynq has no way to enqueue many tasks: what is sent in its stead must leave what it leaves.
func TestManyDoorbellsAreWhatAsynqMakesOfOne(t *testing.T) {
	inBubble(t, func(h *house) {
		one, other := h.submit(7), h.submit(7)
		h.enqueue(one, queue.AtOnce)
		want := h.doorbell(one, 1)
		h.enqueueMany([]store.Record{other}, queue.AtOnce)
		got := h.doorbell(other, 1)
		require.Equal(h, string(other.Ref), got.ID)
		require.Equal(h, string(other.Ref), string(got.Payload))
		got.ID, got.Payload = want.ID, want.Payload
		require.Equal(h, want, got)

		fields := func(r store.Record) []string {
			return h.rdb.HKeys(h.Context(), "asynq:{"+name+"}:t:"+string(r.Ref)).Val()
		}
		require.ElementsMatch(h, fields(one), fields(other))
		require.Equal(h, []string{string(other.Ref), string(one.Ref)},
			h.rdb.LRange(h.Context(), "asynq:{"+name+"}:pending", 0, -1).Val())
	})
}

func TestManyAreRungForWhereOneWouldBe(t *testing.T) {
	for name, s := range states {
		for patience, newBell := range map[time.Duration]map[string]bool{
			queue.Patient: {"archived": true, "completed": true},
			queue.AtOnce:  {"archived": true, "completed": true, "active": true},
		} {
			t.Run(name+" after "+patience.String(), func(t *testing.T) {
				inBubble(t, func(h *house) {
					r := h.submit(3)
					end := s.drive(h, r)
					defer end()
					now := h.read(r.Ref)
					h.enqueueMany([]store.Record{now, now}, patience) // the same call twice
					switch {
					case newBell[name]:
						h.holds(r, s.state, asynq.TaskStatePending)
						require.Equal(h, 2, h.read(r.Ref).Delivery)
					case name == "absent":
						h.holds(r, asynq.TaskStatePending)
					default:
						h.holds(r, s.state)
						require.Equal(h, 1, h.read(r.Ref).Delivery)
					}
				})
			})
		}
	}
}

func TestManyAreRungForInOneRoundTrip(t *testing.T) {
	inBubble(t, func(h *house) {
		var tasks []store.Record
		for range 100 {
			tasks = append(tasks, h.submit(3))
		}
		for range 2 {
			h.enqueueMany(tasks[:1], queue.AtOnce) // the scripts are known from here on
			time.Sleep(time.Second)                // and the wake-up sent
		}
		pipes := &pipelines{}
		h.rdb.AddHook(pipes)
		h.enqueueMany(tasks, queue.AtOnce)
		require.EqualValues(h, 1, pipes.n.Load())
		require.EqualValues(h, 100, pipes.commands.Load())
		require.EqualValues(h, 2, pipes.single.Load(), "a look for the doorbell that was there, and a wake-up for the others")
		require.EqualValues(h, 100, h.rdb.LLen(h.Context(), "asynq:{"+name+"}:pending").Val())
		time.Sleep(time.Second)
	})
}

func TestOneThatCannotBeRungForKeepsNoOtherFromIt(t *testing.T) {
	inBubble(t, func(h *house) {
		tasks := []store.Record{h.submit(3), h.submit(3), h.submit(3)}
		ended := h.submit(3)
		ended.Status = refcache.Complete
		tasks = append(tasks, ended)
		h.server.SetFaults(func(cmd []string) memredis.Fault {
			if strings.HasPrefix(cmd[0], "EVAL") && strings.Contains(strings.Join(cmd, " "), "t:"+string(tasks[1].Ref)) {
				return "OOM command not allowed"
			}
			return memredis.Pass
		})
		errs := h.bell.EnqueueMany(h.Context(), tasks, queue.AtOnce)
		h.server.SetFaults(nil)
		require.Len(h, errs, 4)
		require.NoError(h, errs[0])
		require.ErrorContains(h, errs[1], "enqueue a doorbell for "+string(tasks[1].Ref)+": OOM")
		require.NoError(h, errs[2])
		require.NoError(h, errs[3], "nothing is owed")
		h.holds(tasks[0], asynq.TaskStatePending)
		h.holds(tasks[2], asynq.TaskStatePending)
		h.holds(ended)
	})
}

// pipelines counts what a client sends.
type pipelines struct{ n, commands, single atomic.Int32 }

func (p *pipelines) DialHook(next redis.DialHook) redis.DialHook { return next }

func (p *pipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		p.single.Add(1)
		return next(ctx, cmd)
	}
}

func (p *pipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		p.n.Add(1)
		p.commands.Add(int32(len(cmds)))
		return next(ctx, cmds)
	}
}
