package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/hibiken/asynq"
)

// bareAsynq is what people have without refq: tasks on one server of asynq with its default settings. There is no result
// to wait for; who waits hears from the handler, within this process and for free.
type bareAsynq struct {
	ground *ground
	client *asynq.Client

	mu      sync.Mutex
	waiting map[string]chan struct{}
	handled func() // called for each task; may be nil
}

const bareType = "bench"

func (g *ground) newBareAsynq() *bareAsynq {
	return &bareAsynq{ground: g, client: asynq.NewClientFromRedisClient(g.connect()), waiting: map[string]chan struct{}{}}
}

// withServer does something while the server runs.
func (b *bareAsynq) withServer(ctx context.Context, do func(context.Context) error) error {
	server := asynq.NewServerFromRedisClient(b.ground.connect(), asynq.Config{
		Concurrency: b.ground.options.Concurrency,
		Queues:      map[string]int{b.ground.queue: 1},
		Logger:      noLog{},
	})
	if err := server.Start(asynq.HandlerFunc(b.handle)); err != nil {
		return fmt.Errorf("start asynq: %w", err)
	}
	defer server.Shutdown()
	return do(ctx)
}

func (b *bareAsynq) handle(_ context.Context, t *asynq.Task) error {
	var p parcel
	if err := json.Unmarshal(t.Payload(), &p); err != nil {
		return err
	}
	if b.handled != nil {
		b.handled()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if done := b.waiting[p.ID]; done != nil {
		delete(b.waiting, p.ID)
		close(done)
	}
	return nil
}

// call enqueues the n-th task and waits until it has been handled.
func (b *bareAsynq) call(ctx context.Context, n int) error {
	p, done := b.ground.parcel(n), make(chan struct{})
	b.mu.Lock()
	b.waiting[p.ID] = done
	b.mu.Unlock()
	if err := b.enqueue(ctx, p); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *bareAsynq) submit(ctx context.Context, n int) error {
	return b.enqueue(ctx, b.ground.parcel(n))
}

func (b *bareAsynq) enqueue(ctx context.Context, p parcel) error {
	payload, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = b.client.EnqueueContext(ctx, asynq.NewTask(bareType, payload), asynq.Queue(b.ground.queue))
	return err
}

type noLog struct{}

func (noLog) Debug(...any) {}
func (noLog) Info(...any)  {}
func (noLog) Warn(...any)  {}
func (noLog) Error(...any) {}
func (noLog) Fatal(...any) {}
