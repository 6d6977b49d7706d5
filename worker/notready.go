package worker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
)

// NotReady marks err as one of this worker, and not of the call: the function cannot run here now. It is the error of a function, or
// of what [HandleWith] acquires. The call is handed back and waits for a worker that can run it; the attempt is not counted. For d this
// worker takes no call of the function. d is at least 1 s and at most 60 s: a shorter or a longer one is taken for that; 0 and less
// mean 5 s. A nil err gives nil.
func NotReady(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	if d <= 0 {
		d = notReadyFor
	}
	return &notReadyError{err, min(max(d, minNotReady), maxNotReady)}
}

// How long a function may not be ready.
const (
	minNotReady = time.Second
	notReadyFor = 5 * time.Second
	maxNotReady = time.Minute
)

type notReadyError struct {
	error
	lasts time.Duration
}

func (e *notReadyError) Unwrap() error { return e.error }

// maxNote is how much of the reason is kept, in bytes.
const maxNote = 1 << 10

// unready are the functions that a worker cannot run now. It may be used concurrently.
type unready struct {
	worker *Worker

	mu        sync.Mutex
	listener  *queue.Listener // nil before the worker takes calls, and when it has stopped
	functions map[function]unreadiness
}

// unreadiness is that of a function.
type unreadiness struct {
	queue string
	why   string
	until time.Time
	ends  *time.Timer
}

// listens has l told of what is not ready, until it is called with nil.
func (u *unready) listens(l *queue.Listener) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.listener = l
	for _, is := range u.functions {
		is.ends.Stop()
	}
}

// begin has no more calls of a function of a queue started, for a time. What is to follow is tell.
func (u *unready) begin(f function, queue, why string, lasts time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.listener == nil {
		return
	}
	if before, is := u.functions[f]; is {
		before.ends.Stop()
	} else {
		u.worker.log.Warn("function is not ready", "func", f.String(), "queue", queue, "again", lasts, "err", why)
	}
	if u.functions == nil {
		u.functions = map[function]unreadiness{}
	}
	until := time.Now().Add(lasts)
	u.functions[f] = unreadiness{queue, why, until, time.AfterFunc(lasts, func() { u.end(f, until) })}
	u.listener.Lack(queue, u.names(queue))
}

// end has calls of a function started again, unless it was found not to be ready once more.
func (u *unready) end(f function, until time.Time) {
	u.mu.Lock()
	is, there := u.functions[f]
	over := there && is.until.Equal(until) && u.listener != nil
	if over {
		delete(u.functions, f)
		u.listener.Lack(is.queue, u.names(is.queue))
	}
	u.mu.Unlock()
	if over {
		u.tell(is.queue)
	}
}

// tell has Redis know what is not ready; or the next beat does.
func (u *unready) tell(queue string) {
	u.mu.Lock()
	l := u.listener
	u.mu.Unlock()
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(u.worker.running.base, heartbeatTimeout)
	defer cancel()
	_ = l.TellPauses(ctx, u.worker.store, queue)
}

// names are those of a queue. The caller holds u.mu.
func (u *unready) names(queue string) (names []string) {
	for f, is := range u.functions {
		if is.queue == queue {
			names = append(names, f.String())
		}
	}
	slices.Sort(names)
	return names
}

// in is what a beat tells of a queue.
func (u *unready) in(queue string) map[string]store.NotReady {
	u.mu.Lock()
	defer u.mu.Unlock()
	var told map[string]store.NotReady
	for f, is := range u.functions {
		if is.queue == queue {
			if told == nil {
				told = map[string]store.NotReady{}
			}
			told[f.String()] = store.NotReady{Why: is.why, Until: is.until.UnixMilli()}
		}
	}
	return told
}
