package queue

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
)

// RingMany is Ring for many tasks of one queue, in one round trip for all that asynq holds no doorbell for yet, and one
// more for all others. The errors are in the order of the tasks.
func (b *Bell) RingMany(ctx context.Context, tasks []store.Record, patience time.Duration) []error {
	errs := make([]error, len(tasks))
	var owing []int // places in tasks
	for i, r := range tasks {
		if owed(r) {
			owing = append(owing, i)
		}
	}
	if len(owing) == 0 {
		return errs
	}
	var met []int
	rang := 0
	for n, e := range b.enqueueMany(ctx, tasks, owing) {
		switch i := owing[n]; {
		case e.err != nil:
			errs[i] = fmt.Errorf("ring for %s: %w", tasks[i].Ref, e.err)
		case e.conflict:
			met = append(met, i)
		default:
			rang++
		}
	}
	if rang > 0 {
		b.chimes.add(ctx, tasks[0].Ref.Queue(), rang)
	}
	b.ringWhereSilent(ctx, tasks, met, patience, errs)
	return errs
}

// ringWhereSilent rings for those of the tasks that asynq holds a doorbell for, if that one is silent. Few are.
func (b *Bell) ringWhereSilent(ctx context.Context, tasks []store.Record, places []int, patience time.Duration, errs []error) {
	if len(places) == 0 {
		return
	}
	ids := make([]string, len(places))
	for n, i := range places {
		ids[n] = TaskID(tasks[i].Ref, tasks[i].Delivery)
	}
	bells, err := b.look(ctx, tasks[0].Ref.Queue(), ids, 0)
	for n, i := range places {
		switch {
		case err != nil:
			errs[i] = fmt.Errorf("look for the doorbell of %s: %w", tasks[i].Ref, err)
		case bells[n].silent(ready(tasks[i]), patience):
			errs[i] = b.Ring(ctx, tasks[i], patience)
		}
	}
}

// enqueued is what became of one of many doorbells.
type enqueued struct {
	conflict bool // asynq holds one with this id
	err      error
}

// enqueueMany puts doorbells for the tasks at some places into asynq, in one round trip.
func (b *Bell) enqueueMany(ctx context.Context, tasks []store.Record, places []int) []enqueued {
	all := make([]enqueued, len(places))
	enqueuing, uses, err := b.pad.write(ctx, tasks, places)
	if err != nil {
		for n := range all {
			all[n].err = err
		}
		return all
	}
	for n, answer := range script.RunAll(ctx, b.rdb, enqueuing.script, uses) {
		added, err := answer.Int()
		b.store.Fault("ring", err)
		all[n] = enqueued{conflict: added == 0, err: err}
	}
	return all
}

// pad is the Redis client of an asynq client that enqueues: it notes what asynq would have Redis run, for many of them to
// be sent together. asynq has no way to enqueue more than one task. Its script answers 1, or 0 when the id is taken.
type pad struct {
	redis.UniversalClient
	client *asynq.Client

	mu        sync.Mutex
	enqueuing *enqueuing // noted last
	uses      []script.Use
}

// enqueuing is the script by which asynq enqueues.
type enqueuing struct {
	text    string
	script  *redis.Script
	ringing string // the text of one that also wakes a worker
}

func newEnqueuing(text string) *enqueuing {
	return &enqueuing{text, redis.NewScript(text), strings.NewReplacer("ENQUEUE", text, "CHIME", chimeText).Replace(ringText)}
}

func newPad(rdb redis.UniversalClient) *pad {
	p := &pad{UniversalClient: rdb, enqueuing: &enqueuing{}}
	p.client = asynq.NewClientFromRedisClient(p)
	return p
}

// write has asynq enqueue doorbells for the tasks at some places, and returns its script and the uses, one for each.
func (p *pad) write(ctx context.Context, tasks []store.Record, places []int) (*enqueuing, []script.Use, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uses = make([]script.Use, 0, len(places))
	for n, i := range places {
		if err := enqueue(ctx, p.client, tasks[i]); err != nil {
			return nil, nil, err
		}
		if len(p.uses) != n+1 {
			return nil, nil, fmt.Errorf("asynq does not enqueue with one script, as it did")
		}
	}
	return p.enqueuing, p.uses, nil
}

// EvalSha refers asynq to Eval, which is told the script's text.
func (p *pad) EvalSha(ctx context.Context, _ string, _ []string, _ ...any) *redis.Cmd {
	return redis.NewCmdResult(nil, redis.ErrNoScript)
}

// Eval notes a use of a script, and answers as the script does when it enqueues. Only write leads here, so mu is held.
func (p *pad) Eval(_ context.Context, text string, keys []string, args ...any) *redis.Cmd {
	if text != p.enqueuing.text {
		p.enqueuing = newEnqueuing(text)
	}
	p.uses = append(p.uses, script.Use{Keys: keys, Args: args})
	return redis.NewCmdResult(int64(1), nil)
}
