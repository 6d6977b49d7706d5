package queue

import (
	"context"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
)

// mostTimers bounds what a worker keeps in memory of doorbells that were put off; asynq's forwarder rings for the rest.
const mostTimers = 10_000

// mostUnwritten is how many answers may be on their way to Redis before it is checked whether they still are.
const mostUnwritten = 1000

// timers ring again on time for what was put off here: asynq's own unit is the second.
type timers struct {
	rdb       redis.UniversalClient
	inspector *asynq.Inspector
	queue     string

	mu     sync.Mutex
	due    map[string]time.Time // by asynq's task id, until asynq has written that it is put off
	timers map[string]*time.Timer
	over   bool
	rings  sync.WaitGroup
}

func newTimers(rdb redis.UniversalClient, queue string) *timers {
	return &timers{rdb: script.New(rdb), inspector: asynq.NewInspectorFromRedisClient(script.Plain(rdb)), queue: queue,
		due: map[string]time.Time{}, timers: map[string]*time.Timer{}}
}

// expect says that asynq is about to write that a doorbell is put off.
func (t *timers) expect(id string, delay time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.due) >= mostUnwritten {
		t.forget()
	}
	if len(t.due)+len(t.timers) < mostTimers && !t.over {
		t.due[id] = time.Now().Add(delay)
	}
}

// forget drops what asynq has not written, and will not: it had a minute.
func (t *timers) forget() {
	for id, due := range t.due {
		if time.Since(due) > time.Minute {
			delete(t.due, id)
		}
	}
}

// start follows on expect, once asynq has written that.
func (t *timers) start(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	due, ok := t.due[id]
	delete(t.due, id)
	if !ok || t.over {
		return
	}
	if earlier := t.timers[id]; earlier != nil && earlier.Stop() { // somebody else rang meanwhile, and it was put off anew
		t.rings.Done()
	}
	t.rings.Add(1)
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(due), func() {
		defer t.rings.Done()
		t.ring(id, &timer)
	})
	t.timers[id] = timer
}

// ring has asynq take up the doorbell again. If it cannot, its forwarder does, some seconds later.
func (t *timers) ring(id string, timer **time.Timer) {
	t.mu.Lock()
	if t.timers[id] == *timer { // written under the lock
		delete(t.timers, id)
	}
	t.mu.Unlock()
	if t.inspector.RunTask(t.queue, id) == nil {
		_ = chime(context.Background(), t.rdb, t.queue, 1) // idle workers look by themselves, too
	}
}

// stop ends all timers and waits for those that ring. What is due at once still rings.
func (t *timers) stop() {
	t.mu.Lock()
	t.over = true
	for id, timer := range t.timers {
		if timer.Stop() {
			t.rings.Done()
		}
		delete(t.timers, id)
	}
	t.mu.Unlock()
	t.rings.Wait()
}
