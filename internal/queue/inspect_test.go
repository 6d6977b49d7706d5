package queue_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

const asynqKey = "asynq:{" + name + "}:"

// lose takes a doorbell out of where asynq would find it again. Its hash stays, and with it its id.
func (h *house) lose(set string, r store.Record) {
	h.Helper()
	gone := h.rdb.ZRem(h.Context(), asynqKey+set, string(r.Ref)).Val()
	if set == "pending" || set == "active" {
		gone = h.rdb.LRem(h.Context(), asynqKey+set, 0, string(r.Ref)).Val()
	}
	require.EqualValues(h, 1, gone)
}

// Half a doorbell stays behind where asynq's archive is trimmed by its tools, and where keys are deleted one by one
// while workers and producers go on.
func TestDoorbellThatAsynqHasLostIsNone(t *testing.T) {
	for name, drive := range map[string]func(h *house, r store.Record){
		"archived": func(h *house, r store.Record) {
			h.enqueue(r, queue.AtOnce)
			require.NoError(h, h.asynq.ArchiveTask(name, string(r.Ref)))
			h.lose("archived", r) // trimmed
			require.Error(h, h.asynq.RunTask(name, string(r.Ref)))
		},
		"retry": func(h *house, r store.Record) {
			states["retry"].drive(h, r)
			h.lose("retry", r)
		},
		"scheduled": func(h *house, r store.Record) {
			states["scheduled"].drive(h, r)
			h.lose("scheduled", r)
		},
		"pending": func(h *house, r store.Record) {
			h.enqueue(r, queue.AtOnce)
			h.lose("pending", r)
		},
		"active": func(h *house, r store.Record) {
			h.enqueue(r, queue.AtOnce)
			require.NoError(h, h.rdb.Del(h.Context(), asynqKey+"t:"+string(r.Ref)).Err())
			stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer { panic("there is no message") })
			time.Sleep(900 * time.Millisecond)
			stop()
			require.Equal(h, map[string]string{"state": "active"}, h.rdb.HGetAll(h.Context(), asynqKey+"t:"+string(r.Ref)).Val())
			h.lose("lease", r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(h *house) {
				r := h.submit(3)
				drive(h, r)
				require.True(h, h.rangFor(h.read(r.Ref)))
				require.Equal(h, 2, h.read(r.Ref).Delivery)
				require.Equal(h, asynq.TaskStatePending, h.doorbell(r, 2).State)
				require.False(h, h.rangFor(h.read(r.Ref)), "once is enough")
			})
		})
	}
}

func TestKeyThatIsNoDoorbellIsPassedOverAndHoldsUpNoOther(t *testing.T) {
	inBubble(t, func(h *house) {
		blocked, other := h.submit(3), h.submit(3)
		require.NoError(h, h.rdb.Set(h.Context(), asynqKey+"t:"+id(blocked, 1), "x", 0).Err())
		rang, err := h.bell.RequeueLost(h.Context(), name, []store.Waiting{
			{Ref: blocked.Ref, Delivery: 1, Ready: blocked.CreatedAt}, {Ref: other.Ref, Delivery: 1, Ready: other.CreatedAt}})
		require.NoError(h, err)
		require.Equal(h, 2, rang)
		require.Equal(h, asynq.TaskStatePending, h.doorbell(blocked, 2).State)
		require.Equal(h, asynq.TaskStatePending, h.doorbell(other, 1).State)
	})
}

// To go through a list holds up Redis.
func TestLongQueueIsNotSearchedForADoorbell(t *testing.T) {
	testkit.Long(t)
	inBubble(t, func(h *house) {
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		h.lose("pending", r)
		others := slices.Repeat([]any{"another"}, 10_001)
		require.NoError(h, h.rdb.LPush(h.Context(), asynqKey+"pending", others...).Err())
		require.False(h, h.rangFor(r))
		require.NoError(h, h.rdb.LPop(h.Context(), asynqKey+"pending").Err())
		require.True(h, h.rangFor(r))
	})
}

// take makes a doorbell active as a worker does that dies, or that never hears the answer.
func (h *house) take(r store.Record) {
	h.Helper()
	h.lose("pending", r)
	require.NoError(h, h.rdb.LPush(h.Context(), asynqKey+"active", string(r.Ref)).Err())
	require.NoError(h, h.rdb.HSet(h.Context(), asynqKey+"t:"+string(r.Ref), "state", "active").Err())
	require.NoError(h, h.rdb.ZAdd(h.Context(), asynqKey+"lease",
		redis.Z{Score: float64(time.Now().Add(30 * time.Second).Unix()), Member: string(r.Ref)}).Err())
}

func TestActiveDoorbellWhoseLeaseNobodyExtendsIsNone(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		h.take(r)
		time.Sleep(7 * time.Second)
		require.False(h, h.rangFor(r))
		time.Sleep(2 * time.Second)
		require.True(h, h.rangFor(r))
		h.holds(r, asynq.TaskStateActive, asynq.TaskStatePending)
	})
}

// An earlier life of the ref_id has left its doorbells, and asynq keeps them longer than we keep its record.
func TestRingPassesOverTheArchiveOfEarlierLives(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		for delivery := 1; delivery <= 30; delivery++ {
			_, err := asynq.NewClientFromRedisClient(h.rdb).Enqueue(asynq.NewTask("thumb/small", []byte(r.Ref)),
				asynq.TaskID(id(r, delivery)), asynq.Queue(name))
			require.NoError(h, err)
		}
		_, err := h.asynq.ArchiveAllPendingTasks(name)
		require.NoError(h, err)
		h.enqueue(r, queue.AtOnce)
		require.Equal(h, 31, h.read(r.Ref).Delivery)
		require.Equal(h, asynq.TaskStatePending, h.doorbell(r, 31).State)
	})
}

// One that cannot be read, or is gone, holds up none of the others.
func TestSweepRingsForManyAtOnce(t *testing.T) {
	inBubble(t, func(h *house) {
		var waiting []store.Waiting
		for range 100 {
			r := h.submit(3)
			waiting = append(waiting, store.Waiting{Ref: r.Ref, Delivery: 1, Ready: r.CreatedAt})
		}
		key := func(n int) string { return "refq:{" + name + "}:t:" + waiting[n].Ref.Hash() }
		require.NoError(h, storetest.Set(h.Context(), h.rdb, key(0), "max_retries", "many"))
		require.NoError(h, h.rdb.Del(h.Context(), key(1)).Err())
		rang, err := h.bell.RequeueLost(h.Context(), name, waiting)
		require.ErrorIs(h, err, refcache.ErrUnreadable)
		require.Equal(h, 99, rang)
		info, err := h.asynq.GetQueueInfo(name)
		require.NoError(h, err)
		require.Equal(h, 98, info.Pending)
	})
}

// Trying all of them, each until its time is up, would hold up the queue's next sweeps for minutes.
func TestSweepEndsWhenNothingCanBeRungAlsoBehindATaskThatCannotBeRead(t *testing.T) {
	inBubble(t, func(h *house) {
		var waiting []store.Waiting
		for range 100 {
			r := h.submit(3)
			waiting = append(waiting, store.Waiting{Ref: r.Ref, Delivery: 1, Ready: r.CreatedAt})
		}
		require.NoError(h, storetest.Set(h.Context(), h.rdb, "refq:{"+name+"}:t:"+waiting[0].Ref.Hash(), "max_retries", "many"))
		var tries atomic.Int32
		h.server.SetFaults(func(cmd []string) memredis.Fault {
			if !slices.Contains(cmd, asynqKey+"pending") {
				return memredis.Pass
			}
			tries.Add(1)
			time.Sleep(time.Second) // the unreadable one is met first
			return "OOM command not allowed when used memory > 'maxmemory'."
		})
		_, err := h.bell.RequeueLost(h.Context(), name, waiting)
		require.ErrorContains(h, err, "OOM")
		require.Less(h, tries.Load(), int32(20))
	})
}
