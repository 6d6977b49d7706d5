package queue_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

func TestDoorbellTellsAsynqWhatItsToolsShow(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(7)
		h.enqueue(r, queue.AtOnce)
		d := h.doorbell(r, 1)
		require.Equal(h, string(r.Ref), d.ID)
		require.Equal(h, "thumb/small", d.Type)
		require.Equal(h, string(r.Ref), string(d.Payload))
		require.Equal(h, 8, d.MaxRetry, "one more than the task: asynq must not give up first")
		require.Equal(h, asynq.TaskStatePending, d.State)
		require.Greater(h, d.Timeout, 365*24*time.Hour, "the worker ends attempts, not asynq")
		require.True(h, d.Deadline.IsZero())
		require.Zero(h, d.Retention)
	})
}

func TestRingRingsAnewWhereTheDoorbellIsSilent(t *testing.T) {
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
					h.holds(r, s.state)
					h.enqueue(h.read(r.Ref), patience)
					switch {
					case newBell[name]:
						h.holds(r, s.state, asynq.TaskStatePending)
					case name == "absent":
						h.holds(r, asynq.TaskStatePending)
					default:
						h.holds(r, s.state)
					}
					if newBell[name] {
						require.Equal(h, 2, h.read(r.Ref).Delivery)
					} else {
						require.Equal(h, 1, h.read(r.Ref).Delivery)
					}
				})
			})
		}
	}
}

// rangFor reports whether a sweep has to ring for the task.
func (h *house) rangFor(r store.Record) bool {
	h.Helper()
	ready := r.CreatedAt
	if !r.UpdatedAt.IsZero() {
		ready = r.UpdatedAt
	}
	rang, err := h.bell.RequeueLost(h.Context(), name, []store.Waiting{{Ref: r.Ref, Delivery: r.Delivery, Ready: ready}})
	require.NoError(h, err)
	return rang == 1
}

func TestSweepLooksFirst(t *testing.T) {
	for name, s := range states {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(h *house) {
				r := h.submit(3)
				end := s.drive(h, r)
				defer end()
				r = h.read(r.Ref)
				silent := name == "archived" || name == "completed" || name == "absent"
				require.Equal(h, silent, h.rangFor(r))
				require.False(h, h.rangFor(h.read(r.Ref)), "once is enough")
			})
		})
	}
}

func TestTasksThatNeedNoWorkerAreNotRungFor(t *testing.T) {
	inBubble(t, func(h *house) {
		for _, status := range []refcache.Status{refcache.Processing, refcache.Complete, refcache.Failed, refcache.Cancelled} {
			r := h.submit(3)
			r.Status = status
			h.enqueue(r, queue.AtOnce)
			_, err := h.asynq.GetTaskInfo(name, string(r.Ref))
			require.ErrorIs(h, err, asynq.ErrTaskNotFound, status)
		}
	})
}

func TestManyWhoRingMakeOneDoorbell(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		var ringers sync.WaitGroup
		for range 20 {
			ringers.Go(func() {
				if err := h.bell.Enqueue(h.Context(), r, queue.AtOnce); err != nil {
					h.Error(err)
				}
			})
		}
		ringers.Wait()
		h.holds(r, asynq.TaskStatePending)
	})
}

func TestManyWhoRingForASilentDoorbellMakeOneNewOne(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		states["archived"].drive(h, r)
		var ringers sync.WaitGroup
		for range 20 {
			ringers.Go(func() {
				if err := h.bell.Enqueue(h.Context(), r, queue.AtOnce); err != nil {
					h.Error(err)
				}
			})
		}
		ringers.Wait()
		h.holds(r, asynq.TaskStateArchived, asynq.TaskStatePending)
	})
}

// Enqueue knows a task as it was. When another has given it a new delivery since, that one is enqueued; when it needs none any
// more, nobody rings.
func TestRingFollowsWhatTheTaskHasBecome(t *testing.T) {
	inBubble(t, func(h *house) {
		old := h.submit(3)
		states["archived"].drive(h, old)
		for delivery := 1; delivery <= 2; delivery++ {
			_, err := h.store.NewDelivery(h.Context(), old.Ref, delivery)
			require.NoError(h, err)
		}
		h.enqueue(old, queue.Patient)
		h.holds(old, asynq.TaskStateArchived, 0, asynq.TaskStatePending)

		claimed := h.submit(3)
		states["archived"].drive(h, claimed)
		_, err := h.store.Claim(h.Context(), claimed.Ref, "t1", "w1")
		require.NoError(h, err)
		h.enqueue(claimed, queue.Patient)
		h.holds(claimed, asynq.TaskStateArchived)
		require.Equal(h, 1, h.read(claimed.Ref).Delivery)

		gone := h.submit(3)
		states["archived"].drive(h, gone)
		_, _, err = h.store.Cancel(h.Context(), gone, "ann")
		require.NoError(h, err)
		_, err = h.store.Delete(h.Context(), gone)
		require.NoError(h, err)
		h.enqueue(gone, queue.Patient)
		h.holds(gone, asynq.TaskStateArchived)
	})
}

// The doorbell that was in the way is answered and gone before Ring looks at it: its id is free, and no new number is
// needed.
func TestRingTriesAgainWhenTheDoorbellIsGoneMeanwhile(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		h.enqueue(r, queue.Patient)
		other := h.server.Client()
		defer other.Close()
		once := sync.OnceFunc(func() {
			require.NoError(h, asynq.NewInspectorFromRedisClient(other).DeleteTask(name, string(r.Ref)))
		})
		h.server.SetFaults(func(cmd []string) memredis.Fault {
			if cmd[0] == "EVALSHA" && cmd[3] == asynqKey { // Ring is about to look
				h.server.SetFaults(nil)
				once()
			}
			return memredis.Pass
		})
		h.enqueue(r, queue.Patient)
		h.holds(r, asynq.TaskStatePending)
		require.Equal(h, 1, h.read(r.Ref).Delivery)
	})
}

func TestRingSaysWhatItCouldNotDo(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		h.server.SetFaults(func([]string) memredis.Fault { return "OOM no memory" })
		err := h.bell.Enqueue(h.Context(), r, queue.AtOnce)
		require.ErrorContains(h, err, "enqueue a doorbell for "+string(r.Ref))
		require.ErrorContains(h, err, "OOM no memory")
		_, err = h.bell.RequeueLost(h.Context(), name, []store.Waiting{{Ref: r.Ref, Delivery: 1}})
		require.ErrorContains(h, err, "inspect the doorbells of queue "+name)

		h.server.SetFaults(nil)
		ctx, cancel := context.WithCancel(h.Context())
		cancel()
		require.ErrorIs(h, h.bell.Enqueue(ctx, r, queue.AtOnce), context.Canceled)
	})
}

// What a person or a producer has just changed is not what the answer under way is about, whatever the clocks say.
func TestWhoHasJustChangedTheTaskDoesNotWaitForAnActiveDoorbell(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		end := states["active"].drive(h, r)
		defer end()
		_, err := h.store.Claim(h.Context(), r.Ref, "t1", "w1")
		require.NoError(h, err)
		_, err = h.store.Finish(h.Context(), r.Ref, "t1", store.Errored(store.Failure{Delay: time.Minute}))
		require.NoError(h, err)
		h.enqueue(h.read(r.Ref), queue.AtOnce) // it is due only in a minute
		require.Equal(h, 2, h.read(r.Ref).Delivery)
		require.NotNil(h, h.doorbell(r, 2))
	})
}

// asynq looks at its own count of retries before it asks whether an answer counts.
func TestUncountedAnswerToATaskWithoutRetriesRingsAgain(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(0)
		h.enqueue(r, queue.AtOnce)
		h.answered(queue.Again(5*time.Second, "handed back", false))
		h.holds(r, asynq.TaskStateRetry)
	})
}

// The record of a task is deleted while its doorbell waits for a retry that is far away. The same call made again has
// the same first id, and must not wait as long.
func TestDoorbellOfADeletedTaskDoesNotHoldUpItsSuccessor(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		h.answered(queue.Again(time.Hour, "retry", true))
		require.NoError(h, h.rdb.Del(h.Context(), "refq:{"+r.Ref.Queue()+"}:t:"+r.Ref.Hash()).Err())

		again := h.submitAs(r.Ref, 3)
		require.Equal(h, 1, again.Delivery)
		h.enqueue(again, queue.AtOnce)
		h.holds(r, asynq.TaskStateRetry, asynq.TaskStatePending)
	})
}
