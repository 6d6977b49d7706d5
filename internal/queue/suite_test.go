package queue_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// house is a queue with its store and bell, and a view of what asynq holds.
type house struct {
	*testing.T
	server *memredis.Server
	rdb    redis.UniversalClient
	store  *store.Store
	bell   *queue.Client
	asynq  *asynq.Inspector
}

const name = "Media.1" // asynq must take any name of ours

// inBubble runs a test on an in-memory Redis, on the bubble's clock.
func inBubble(t *testing.T, test func(h *house)) {
	t.Helper()
	t.Parallel()
	inBubbleAlone(t, test)
}

// inBubbleAlone is inBubble for a test beside which no other may run.
func inBubbleAlone(t *testing.T, test func(h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server, err := memredis.New()
		require.NoError(t, err)
		defer server.Close()
		rdb := server.Client()
		defer rdb.Close()
		s := store.New(rdb)
		bell := queue.New(rdb, s)
		require.NoError(t, bell.NoteQueue(t.Context(), name))
		test(&house{t, server, rdb, s, bell, asynq.NewInspectorFromRedisClient(rdb)})
	})
}

// submit makes a pending task, and rings for nobody.
func (h *house) submit(maxRetries int) store.Record {
	h.Helper()
	hash := make([]byte, 16)
	_, _ = rand.Read(hash) // never fails
	return h.submitAs(refcache.Ref(name+":"+hex.EncodeToString(hash)), maxRetries)
}

func submission(maxRetries int) store.Submission {
	p := refcache.Defaults
	p.Name, p.Queue, p.MaxRetries = "thumb/small", name, maxRetries
	return store.Submission{Request: rand.Text(), Namespace: "default", Policy: p, Args: []byte("null")}
}

func (h *house) submitAs(ref refcache.Ref, maxRetries int) store.Record {
	h.Helper()
	s, err := h.store.Submit(h.Context(), ref, submission(maxRetries))
	require.NoError(h, err)
	return s.Record
}

func (h *house) enqueue(r store.Record, patience time.Duration) {
	h.Helper()
	require.NoError(h, h.bell.Enqueue(h.Context(), r, patience))
}

func (h *house) read(ref refcache.Ref) store.Record {
	h.Helper()
	r, err := h.store.Read(h.Context(), ref)
	require.NoError(h, err)
	return r
}

// id is what asynq knows the doorbell of a delivery by.
func id(r store.Record, delivery int) string {
	if delivery == 1 {
		return string(r.Ref)
	}
	return fmt.Sprintf("%s.%d", r.Ref, delivery)
}

// doorbell is what asynq holds of a delivery; nil when it holds none.
func (h *house) doorbell(r store.Record, delivery int) *asynq.TaskInfo {
	h.Helper()
	info, err := h.asynq.GetTaskInfo(name, id(r, delivery))
	if errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound) {
		return nil
	}
	require.NoError(h, err)
	return info
}

// holds checks in which states asynq holds the doorbells of the first deliveries, 0 for none, and that no other is there.
func (h *house) holds(r store.Record, states ...asynq.TaskState) {
	h.Helper()
	for n, want := range states {
		got := asynq.TaskState(0)
		if d := h.doorbell(r, n+1); d != nil {
			got = d.State
		}
		require.Equal(h, want, got, "delivery %d", n+1)
	}
	require.Nil(h, h.doorbell(r, len(states)+1))
}

// listen answers doorbells with a handler until stop is called.
func (h *house) listen(handler queue.Handler) (stop func()) {
	h.Helper()
	return h.listener("one", 1, handler).Shutdown
}

// listener answers so many doorbells at once.
func (h *house) listener(worker string, slots int, handler queue.Handler) *queue.Listener {
	h.Helper()
	return h.listenerWith(h.config(worker, slots), handler)
}

func (h *house) config(worker string, slots int) queue.Config {
	return queue.Config{Worker: worker, Queues: []string{name}, Slots: queue.NewSlots(slots), ShutdownTimeout: time.Second,
		Store: h.store, Known: store.NewKnown(nil), Logger: slog.New(slog.DiscardHandler), Dequeue: h.dequeue}
}

// dequeue takes a doorbell out of asynq's list and claims nothing.
func (h *house) dequeue(ctx context.Context, _ string, from store.Doorbells) (queue.Dequeued, error) {
	by := from.Dequeue
	answer, err := redis.NewScript(by.Text).Run(ctx, h.rdb, by.Keys, by.Args...).Slice()
	if errors.Is(err, redis.Nil) {
		return queue.Dequeued{}, nil
	}
	if err != nil {
		return queue.Dequeued{}, err
	}
	ref, _ := answer[1].(string)
	return queue.Dequeued{Message: answer[0], Ref: refcache.Ref(ref)}, nil
}

func (h *house) listenerWith(c queue.Config, handler queue.Handler) *queue.Listener {
	h.Helper()
	l, err := queue.Listen(h.rdb, c, func(ctx context.Context, d queue.Doorbell) queue.Answer {
		defer d.Slot.Release()
		return handler(ctx, d)
	})
	require.NoError(h, err)
	return l
}

// answered has the doorbells that are due answered once, all alike.
func (h *house) answered(a queue.Answer) {
	h.Helper()
	stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer { return a })
	time.Sleep(900 * time.Millisecond)
	stop()
}

// The states of a doorbell that asynq knows, and how a doorbell of ours gets there.
var states = map[string]struct {
	state asynq.TaskState
	drive func(h *house, r store.Record) (end func())
}{
	"pending": {asynq.TaskStatePending, func(h *house, r store.Record) func() {
		h.enqueue(r, queue.Patient)
		return func() {}
	}},
	"scheduled": {asynq.TaskStateScheduled, func(h *house, r store.Record) func() {
		h.enqueueOtherwise(r, asynq.ProcessIn(5*time.Second))
		return func() {}
	}},
	"retry": {asynq.TaskStateRetry, func(h *house, r store.Record) func() {
		h.enqueue(r, queue.Patient)
		h.answered(queue.Again(5*time.Second, "later", false))
		return func() {}
	}},
	"active": {asynq.TaskStateActive, (*house).hang},
	"archived": {asynq.TaskStateArchived, func(h *house, r store.Record) func() {
		h.enqueue(r, queue.Patient)
		h.answered(queue.Archive("failed"))
		return func() {}
	}},
	"completed": {asynq.TaskStateCompleted, func(h *house, r store.Record) func() {
		h.enqueueOtherwise(r, asynq.Retention(time.Hour))
		h.answered(queue.Answer{})
		return func() {}
	}},
	"absent": {0, func(h *house, r store.Record) func() { return func() {} }},
}

// enqueueOtherwise puts a doorbell into asynq in a way that is not ours.
func (h *house) enqueueOtherwise(r store.Record, options ...asynq.Option) {
	h.Helper()
	_, err := asynq.NewClientFromRedisClient(h.rdb).Enqueue(asynq.NewTask("thumb/small", []byte(r.Ref)),
		append(options, asynq.TaskID(string(r.Ref)), asynq.Queue(name))...)
	require.NoError(h, err)
}

// hang rings for a task and has its doorbell taken, but not answered before the end.
func (h *house) hang(r store.Record) (end func()) {
	h.Helper()
	h.enqueue(r, queue.Patient)
	taken, release := make(chan bool, 9), make(chan bool)
	stop := h.listen(func(context.Context, queue.Doorbell) queue.Answer {
		taken <- true
		<-release
		return queue.Answer{}
	})
	<-taken
	return func() {
		close(release)
		stop()
	}
}
