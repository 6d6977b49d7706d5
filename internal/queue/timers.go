package queue

import (
	"context"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
)

const (
	// maxTimers bounds what a worker keeps in memory of doorbells that were put off. asynq's forwarder takes up the rest.
	maxTimers = 10_000
	// maxUnwritten is how many answers may be on their way to Redis before it is checked whether they still are.
	maxUnwritten = 1000
)

// timers have asynq take up on time what a handler has put off: asynq's own unit is the second. They may be used concurrently:
// handlers call expect, asynq's answers call start, and each timer is a goroutine of its own that calls takeUp.
type timers struct {
	rdb       redis.UniversalClient
	inspector *asynq.Inspector
	queue     string

	mu      sync.Mutex
	due     map[string]time.Time // by the doorbell's id, until asynq has written that it is put off
	timers  map[string]*time.Timer
	over    bool
	running sync.WaitGroup // one for each timer that has not ended
}

func newTimers(rdb redis.UniversalClient, queue string) *timers {
	return &timers{rdb: rdb, inspector: asynq.NewInspectorFromRedisClient(script.Plain(rdb)), queue: queue,
		due: map[string]time.Time{}, timers: map[string]*time.Timer{}}
}

// expect notes for how long a doorbell is put off. asynq is about to write that.
func (t *timers) expect(id string, delay time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.due) >= maxUnwritten {
		t.forget()
	}
	if len(t.due)+len(t.timers) < maxTimers && !t.over {
		t.due[id] = time.Now().Add(delay)
	}
}

// forget drops what asynq has not written within a minute, and will not write.
func (t *timers) forget() {
	for id, due := range t.due {
		if time.Since(due) > time.Minute {
			delete(t.due, id)
		}
	}
}

// start sets the timer of a doorbell that expect was told of, once asynq has written that it is put off.
func (t *timers) start(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	due, ok := t.due[id]
	delete(t.due, id)
	if !ok || t.over {
		return
	}
	if earlier := t.timers[id]; earlier != nil && earlier.Stop() { // it was taken up by somebody else, and put off anew
		t.running.Done()
	}
	t.running.Add(1)
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(due), func() {
		defer t.running.Done()
		t.takeUp(id, &timer)
	})
	t.timers[id] = timer
}

// takeUp puts a doorbell back into asynq's list, and wakes a worker. If it cannot, asynq's forwarder does, some seconds later.
func (t *timers) takeUp(id string, timer **time.Timer) {
	t.mu.Lock()
	if t.timers[id] == *timer { // written under the lock
		delete(t.timers, id)
	}
	t.mu.Unlock()
	if t.inspector.RunTask(t.queue, id) == nil {
		_ = wake(context.Background(), t.rdb, t.queue, 1) // idle workers look by themselves, too
	}
}

// stop ends all timers and waits for those that take up their doorbell. It drops none of those that are due.
func (t *timers) stop() {
	t.mu.Lock()
	t.over = true
	for id, timer := range t.timers {
		if timer.Stop() {
			t.running.Done()
		}
		delete(t.timers, id)
	}
	t.mu.Unlock()
	t.running.Wait()
}
