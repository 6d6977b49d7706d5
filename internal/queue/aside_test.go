package queue_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

const (
	thumb     = "thumb/small@1" // what submit makes calls of
	asideKey  = "refq:{" + name + "}:aside"
	thumbList = asideKey + ":" + thumb
)

// taker is a worker that knows some functions, as far as it takes doorbells. What it runs is complete at once.
type taker struct {
	*queue.Listener
	ran chan refcache.Ref
}

func (h *house) taker(id string, functions ...string) taker {
	h.Helper()
	return h.takerWith(id, nil, functions...)
}

// takerWith is taker with what has been heard of pauses.
func (h *house) takerWith(id string, paused map[string]queue.Heard, functions ...string) taker {
	h.Helper()
	t := taker{ran: make(chan refcache.Ref, 1000)}
	about := fmt.Sprintf(`{"functions":["%s"],"reads":%d}`, strings.Join(functions, `","`), store.RecordVersion)
	_, err := h.store.Heartbeat(h.Context(), name, store.Beat{Worker: id, About: about})
	require.NoError(h, err)
	c := h.config(id, 4)
	c.Known, c.Paused = store.NewKnown(functions), paused
	c.Dequeue = func(ctx context.Context, queueName string, from store.Doorbells) (queue.Dequeued, error) {
		token := rand.Text()
		taken, err := h.store.DequeueAndClaim(ctx, queueName, token, id, c.Known, from)
		d := queue.Dequeued{Message: taken.Message, Ref: taken.Ref, More: taken.More}
		switch {
		case taken.Claim.Run:
			d.Claimed = &queue.Claimed{HandBack: func(string) {}, Run: func(_ context.Context, d queue.Doorbell) queue.Answer {
				defer d.Slot.Release()
				_, err := h.store.Finish(ctx, d.Ref, token, h.store.Completed([]byte("1")))
				require.NoError(h, err)
				t.ran <- d.Ref
				return queue.Answer{}
			}}
		case taken.Claim.Later > 0:
			d.Claimed = &queue.Claimed{HandBack: func(string) {}, Run: func(_ context.Context, d queue.Doorbell) queue.Answer {
				d.Slot.Release()
				return queue.Again(taken.Claim.Later, "later", false)
			}}
		}
		return d, err
	}
	t.Listener = h.listenerWith(c, func(_ context.Context, d queue.Doorbell) queue.Answer {
		claim, err := h.store.Claim(h.Context(), d.Ref, rand.Text(), id)
		require.NoError(h, err)
		require.False(h, claim.Run, "only what is taken is run")
		return queue.Answer{}
	})
	return t
}

// next is the task that is run next.
func (t taker) next(h *house) refcache.Ref {
	h.Helper()
	select {
	case ref := <-t.ran:
		return ref
	case <-time.After(time.Minute):
		h.Fatal("nothing is run")
		return ""
	}
}

// aside returns the ids of the doorbells that are set aside for who knows thumb, the next one first.
func (h *house) aside() []string {
	ids := h.rdb.LRange(h.Context(), thumbList, 0, -1).Val()
	slices.Reverse(ids)
	return ids
}

// strange submits and rings for a task, and has a worker set its doorbell aside that does not know it.
func (h *house) strange(maxRetries int) store.Record {
	h.Helper()
	r := h.submit(maxRetries)
	h.enqueue(r, queue.AtOnce)
	stranger := h.taker("stranger", "other@1")
	time.Sleep(100 * time.Millisecond)
	stranger.Shutdown()
	require.Contains(h, h.aside(), string(r.Ref))
	return r
}

func TestADoorbellIsSetAsideAndItsTaskUntouched(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.submit(3)
		before := h.rdb.HGetAll(h.Context(), "refq:{"+name+"}:t:"+r.Ref.Hash()).Val()
		h.enqueue(r, queue.AtOnce)
		stranger := h.taker("stranger", "other@1")
		defer stranger.Shutdown()
		time.Sleep(time.Minute)
		require.Equal(h, []string{string(r.Ref)}, h.aside())
		require.Equal(h, []string{thumb}, h.rdb.SMembers(h.Context(), asideKey).Val())
		require.Equal(h, before, h.rdb.HGetAll(h.Context(), "refq:{"+name+"}:t:"+r.Ref.Hash()).Val())
		require.Zero(h, h.rdb.Exists(h.Context(), "refq:{"+name+"}:claims:stranger").Val())

		h.holds(r, asynq.TaskStatePending)
		prefix := "asynq:{" + name + "}:"
		require.NotEmpty(h, h.rdb.HGet(h.Context(), prefix+"t:"+string(r.Ref), "pending_since").Val())
		require.Zero(h, h.rdb.Exists(h.Context(), prefix+"pending", prefix+"active", prefix+"lease").Val())
	})
}

// asynqScript is the text of a script in asynq's source.
func asynqScript(t *testing.T, variable string) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/hibiken/asynq").Output()
	require.NoError(t, err)
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "internal/rdb/rdb.go"))
	require.NoError(t, err)
	_, text, found := strings.Cut(string(source), "var "+variable+" = redis.NewScript(`")
	require.True(t, found)
	text, _, _ = strings.Cut(text, "`")
	return text
}

// commandsOf are the commands that a script calls, in its order.
func commandsOf(script string) (all []string) {
	for _, call := range regexp.MustCompile(`call\(['"]([A-Z]+)['"]`).FindAllStringSubmatch(script, -1) {
		all = append(all, call[1])
	}
	return all
}

func TestSettingAsideDoesWhatAsynqsRequeueDoes(t *testing.T) {
	text, err := os.ReadFile("set_aside.lua")
	require.NoError(t, err)
	ours := slices.DeleteFunc(commandsOf(string(text)), func(c string) bool { return slices.Contains([]string{"HGET", "LPOS", "DEL", "TIME"}, c) }) // about the delivery before
	asynqs := commandsOf(asynqScript(t, "requeueCmd"))
	slices.Sort(ours)
	slices.Sort(asynqs)
	require.Equal(t, []string{"HSET", "LREM", "RPUSH", "ZREM"}, asynqs)
	require.Equal(t, []string{"HSET", "LPUSH", "LREM", "ZREM"}, ours, "to the other end of the list: it is not put back")
	require.Contains(t, asynqScript(t, "enqueueCmd"), `"pending_since", ARGV[3]`)
	require.Equal(t, []string{"EXISTS", "RPOPLPUSH", "HSET", "HDEL", "ZADD", "HGET"}, commandsOf(asynqScript(t, "dequeueCmd")))
}

func TestWhatIsSetAsideWakesAnIdleWorkerThatKnowsIt(t *testing.T) {
	inBubble(t, func(h *house) {
		stranger, able := h.taker("stranger", "other@1"), h.taker("able", thumb)
		defer stranger.Shutdown()
		defer able.Shutdown()
		time.Sleep(time.Second)
		for n := range 20 {
			r := h.submit(3)
			h.enqueue(r, queue.AtOnce)
			start := time.Now()
			require.Equal(h, r.Ref, able.next(h))
			require.Less(h, time.Since(start), 10*time.Millisecond)
			time.Sleep(time.Duration(n) * 137 * time.Millisecond)
		}
		require.Zero(h, h.rdb.Exists(h.Context(), asideKey, thumbList).Val())
	})
}

// Whoever knows it is told although it has no free slot, and takes the call when it has one.
func TestABusyWorkerIsToldOfWhatIsSetAside(t *testing.T) {
	inBubble(t, func(h *house) {
		able := h.taker("able", thumb)
		defer able.Shutdown()
		time.Sleep(time.Second)
		h.rdb.SRem(h.Context(), "refq:{"+name+"}:idle", "able") // as if it were at work
		stranger := h.taker("stranger", "other@1")
		defer stranger.Shutdown()
		r := h.submit(3)
		h.enqueue(r, queue.AtOnce)
		start := time.Now()
		require.Equal(h, r.Ref, able.next(h))
		require.Less(h, time.Since(start), 10*time.Millisecond)
	})
}

func TestManyUnknownCallsDoNotHoldUpAKnownOne(t *testing.T) {
	inBubble(t, func(h *house) {
		for range 200 {
			h.enqueue(h.submit(3), queue.AtOnce)
		}
		known := submission(3)
		known.Policy.Name = "other"
		made, err := h.store.Submit(h.Context(), refcache.Ref(name+":"+strings.Repeat("a", 32)), known)
		require.NoError(h, err)
		h.enqueue(made.Record, queue.AtOnce)
		start := time.Now()
		stranger := h.taker("stranger", "other@1")
		defer stranger.Shutdown()
		require.Equal(h, made.Ref, stranger.next(h))
		require.Less(h, time.Since(start), 10*time.Millisecond)
		require.Len(h, h.aside(), 200)
	})
}

// Neither list starves the other.
func TestListsAreTakenFromInTurn(t *testing.T) {
	inBubble(t, func(h *house) {
		var asides []refcache.Ref
		for range 20 {
			asides = append(asides, h.strange(3).Ref)
		}
		for range 20 {
			r := h.submit(3)
			h.enqueue(r, queue.AtOnce)
		}
		able := h.taker("able", thumb)
		defer able.Shutdown()
		able.HearAside(name, []string{thumb})
		first := 0
		for range 20 {
			if slices.Contains(asides, able.next(h)) {
				first++
			}
		}
		require.InDelta(h, 10, first, 3)
		for range 20 {
			able.next(h)
		}
		time.Sleep(5 * time.Second)
		require.Empty(h, able.ran)
	})
}

func TestDoorbellsThatAsynqLostAreDroppedWhenMet(t *testing.T) {
	inBubble(t, func(h *house) {
		lost := h.strange(3)
		h.rdb.Del(h.Context(), "asynq:{"+name+"}:t:"+string(lost.Ref))
		for n := range 100 { // more than are dropped at once
			h.rdb.LPush(h.Context(), thumbList, fmt.Sprint("lost", n))
		}
		kept := h.strange(3)
		able := h.taker("able", thumb)
		defer able.Shutdown()
		require.Equal(h, kept.Ref, able.next(h))
		time.Sleep(5 * time.Second)
		require.Zero(h, h.rdb.Exists(h.Context(), asideKey, thumbList).Val())
		require.Nil(h, h.doorbell(lost, 1), "none is made of it")
		requeued, err := h.bell.RequeueLost(h.Context(), name, []store.Waiting{{Ref: lost.Ref, Delivery: 1, Ready: time.Now()}})
		require.NoError(h, err)
		require.Equal(h, 1, requeued)
		require.Equal(h, lost.Ref, able.next(h))
	})
}

func TestWhatIsSetAsideCountsAsPending(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.strange(3)
		waits := []store.Waiting{{Ref: r.Ref, Delivery: 1, Ready: time.Now()}}
		h.enqueue(h.read(r.Ref), queue.AtOnce) // as whoever joins the call does
		requeued, err := h.bell.RequeueLost(h.Context(), name, waits)
		require.NoError(h, err)
		require.Zero(h, requeued)
		require.Equal(h, 1, h.read(r.Ref).Delivery)

		h.rdb.Del(h.Context(), thumbList)
		requeued, err = h.bell.RequeueLost(h.Context(), name, waits)
		require.NoError(h, err)
		require.Equal(h, 1, requeued, "its hash is in no list")
		require.Equal(h, 2, h.read(r.Ref).Delivery)
	})
}

// An old refq's sweep does not see what is set aside, and rings anew.
func TestALaterDeliveryBesideOneThatIsSetAsideIsPutOff(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.strange(3)
		second, err := h.store.NewDelivery(h.Context(), r.Ref, 1)
		require.NoError(h, err)
		h.enqueue(second, queue.AtOnce)
		stranger := h.taker("stranger", "other@1")
		defer stranger.Shutdown()
		time.Sleep(time.Second)
		require.Equal(h, []string{string(r.Ref)}, h.aside())
		h.holds(r, asynq.TaskStatePending, asynq.TaskStateRetry)
		time.Sleep(30 * time.Second)
		require.Equal(h, []string{string(r.Ref)}, h.aside())
		require.Nil(h, h.doorbell(r, 3))

		able := h.taker("able", thumb)
		defer able.Shutdown()
		require.Equal(h, r.Ref, able.next(h))
		time.Sleep(10 * time.Second)
		require.Empty(h, able.ran)
		h.holds(r, 0, 0)
	})
}

func TestDoorbellsWhoseCallsAreOverAreDropped(t *testing.T) {
	inBubble(t, func(h *house) {
		over, waits := h.strange(3), h.strange(3)
		_, _, err := h.store.Cancel(h.Context(), h.read(over.Ref), "ann")
		require.NoError(h, err)
		_, err = h.store.Sweep(h.Context(), name, 100, true, queue.HashPrefix(name), "w")
		require.NoError(h, err)
		require.Equal(h, []string{string(waits.Ref)}, h.aside())
		require.Nil(h, h.doorbell(over, 1))
	})
}

func TestASweepWakesWhoKnowsWhatIsSetAside(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.strange(3)
		h.rdb.SRem(h.Context(), asideKey, thumb) // so that an idle worker does not find it by itself
		able := h.taker("able", thumb)
		defer able.Shutdown()
		time.Sleep(10 * time.Second)
		require.Empty(h, able.ran)
		h.rdb.SAdd(h.Context(), asideKey, thumb)
		_, err := h.store.Sweep(h.Context(), name, 100, true, queue.HashPrefix(name), "w")
		require.NoError(h, err)
		start := time.Now()
		require.Equal(h, r.Ref, able.next(h))
		require.Less(h, time.Since(start), 10*time.Millisecond)
	})
}

func TestAPausedQueueStartsNothingThatWasSetAside(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.strange(3)
		require.NoError(h, h.asynq.PauseQueue(name))
		able := h.taker("able", thumb)
		defer able.Shutdown()
		able.HearAside(name, []string{thumb})
		time.Sleep(10 * time.Second)
		require.Empty(h, able.ran)
		require.NoError(h, h.asynq.UnpauseQueue(name))
		require.Equal(h, r.Ref, able.next(h))
	})
}

// A worker that knows the function and not the record's version must not hand the doorbell back to who reads that version.
func TestWhatLacksTwoThingsIsPutOffAndNotHandedToAndFro(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.strange(3)
		list := asideKey + ":v2" // as if the record had been of a newer version when it was set aside
		require.NoError(h, h.rdb.Rename(h.Context(), thumbList, list).Err())
		h.rdb.SRem(h.Context(), asideKey, thumb)
		h.rdb.SAdd(h.Context(), asideKey, "v2")
		count := h.dequeues()
		stranger := h.taker("stranger", "other@1")
		defer stranger.Shutdown()
		time.Sleep(4 * time.Second)
		h.holds(r, asynq.TaskStateRetry)
		require.Less(h, int(count.Load()), 20)
		able := h.taker("able", thumb)
		defer able.Shutdown()
		require.Equal(h, r.Ref, able.next(h))
	})
}

// What waits for a worker that starts is taken by many at a time, as from asynq's list.
func TestALongListIsDrainedByManyAtATime(t *testing.T) {
	inBubble(t, func(h *house) {
		const calls = 500
		for range calls {
			h.enqueue(h.submit(3), queue.AtOnce)
		}
		stranger := h.taker("stranger", "other@1")
		time.Sleep(time.Second)
		stranger.Shutdown()
		require.Len(h, h.aside(), calls)
		count := h.dequeues()
		able := h.taker("able", thumb)
		defer able.Shutdown()
		for range calls {
			able.next(h)
		}
		require.Less(h, int(count.Load()), 3*calls, "each second question is to asynq's list")
	})
}

// A list of ours may be lost. What is left of the doorbell in asynq must not keep the next from being set aside.
func TestALostListDoesNotKeepACallFromWhoKnowsIt(t *testing.T) {
	inBubble(t, func(h *house) {
		r := h.strange(3)
		h.rdb.Del(h.Context(), thumbList)
		_, err := h.bell.RequeueLost(h.Context(), name, []store.Waiting{{Ref: r.Ref, Delivery: 1, Ready: time.Now()}})
		require.NoError(h, err)
		stranger := h.taker("stranger", "other@1")
		defer stranger.Shutdown()
		time.Sleep(time.Second)
		require.Equal(h, []string{id(r, 2)}, h.aside())
		require.Nil(h, h.doorbell(r, 1))
		able := h.taker("able", thumb)
		defer able.Shutdown()
		require.Equal(h, r.Ref, able.next(h))
	})
}
