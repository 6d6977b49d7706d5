package queue

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
)

// acks lets a doorbell be acknowledged in the step that ends its task, by asynq's own script: asynq's acknowledgement, which
// follows, is then answered here. What that script is, and how it is used, is known from the first one that asynq sends; a
// script of another kind is left to asynq.
type acks struct {
	queue string

	mu    sync.Mutex
	met   bool            // asynq has sent the text
	known *ack            // nil also when it is not as expected
	early map[string]bool // ids of doorbells that were acknowledged before asynq does
}

// ack is an acknowledgement as asynq made it.
type ack struct {
	text    string
	keys    []string
	id      string
	expires int64 // when the day's statistics end, in Unix seconds
	rest    []any
	at      time.Time
}

func newAcks(queue string) *acks { return &acks{queue: queue, early: map[string]bool{}} }

// piggyback returns what acknowledges a doorbell; nil when that is not known.
func (a *acks) piggyback(id string) *script.Piggyback {
	a.mu.Lock()
	k := a.known
	a.mu.Unlock()
	if k == nil {
		return nil
	}
	now := time.Now()
	keys := slices.Clone(k.keys)
	keys[2] = strings.TrimSuffix(keys[2], k.id) + id
	keys[3] = strings.TrimSuffix(keys[3], day(k.at)) + day(now)
	expires := k.expires + int64(now.Sub(k.at)/time.Second)
	return &script.Piggyback{Text: k.text, Use: script.Use{Keys: keys, Args: append([]any{id, expires}, k.rest...)}}
}

// learn notes how asynq acknowledges, from a script with its text.
func (a *acks) learn(text string, keys []string, args []any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.met = true
	now := time.Now()
	id, _ := args[0].(string)
	expires, whole := args[1].(int64)
	prefix := "asynq:{" + a.queue + "}:"
	if !whole || keys[2] != prefix+"t:"+id || keys[3] != prefix+"processed:"+day(now) {
		return
	}
	a.known = &ack{text, slices.Clone(keys), id, expires, slices.Clone(args[2:]), now}
}

func (a *acks) hasMet() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.met
}

// done notes that a doorbell was acknowledged ahead of asynq; undone that it rings, so that it was not.
func (a *acks) done(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.early[id] = true
}

func (a *acks) undone(id string) { a.take(id) }

// take reports whether a doorbell was acknowledged ahead of asynq, once.
func (a *acks) take(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	early := a.early[id]
	delete(a.early, id)
	return early
}

// day is how asynq names the day that statistics are of.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// acknowledges returns the id of the doorbell that a script with these keys and arguments acknowledges, if it is the one by
// which asynq does.
func acknowledges(keys []string, args []any) (id string, ok bool) {
	if !movesActive(keys) || len(keys) != 5 || len(args) != 3 || !strings.HasSuffix(keys[4], "}:processed") {
		return "", false
	}
	id, ok = args[0].(string)
	return id, ok
}

// evalSha answers an acknowledgement that was made already; false when it is to be made. An unknown one is asked for with its
// text.
func (a *acks) evalSha(keys []string, args []any) (*redis.Cmd, bool) {
	id, ok := acknowledges(keys, args)
	switch {
	case !ok:
		return nil, false
	case a.take(id):
		return redis.NewCmdResult("OK", nil), true
	case !a.hasMet():
		return redis.NewCmdResult(nil, redis.ErrNoScript), true
	}
	return nil, false
}
