package producer

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/tracing"
	"github.com/refq/refq/refcache"
)

const (
	// window is how many calls may be under way, from the reading of their arguments to the taking of their answers.
	window = 1024
	// maxBatch and batchBytes bound the calls that are submitted together, and their arguments.
	maxBatch   = 128
	batchBytes = 1 << 20
	// submitters is how many batches are submitted at a time: while Redis works at one, the next is made ready.
	submitters = 2
	// ringTimeout bounds the ringing for calls that are on record, once ctx has ended.
	ringTimeout = 3 * time.Second
)

// many makes many calls, as generic functions hand them in, and waits for their ends.
type many struct {
	*Producer
	waitLimit time.Duration // of each call; 0: nobody waits

	calls chan numbered // read, not submitted yet
	ends  chan outcomeOf
	room  chan int // for so many more calls, in batches: one by one they would be submitted one by one
	all   sync.WaitGroup
}

// numbered is a call with its position among all.
type numbered struct {
	index int
	call
}

// outcomeOf is what became of a call. Without a record, err says why.
type outcomeOf struct {
	index int
	ref   refcache.Ref // empty if the arguments did not lead to one
	now   answer.Snapshot
	err   error
}

// makeAll makes the calls and yields what became of each, as it becomes known. See CallMany for the rest.
func (p *Producer) makeAll(ctx context.Context, calls iter.Seq2[call, error], waitLimit time.Duration) iter.Seq[outcomeOf] {
	return func(yield func(outcomeOf) bool) {
		ctx, stop := context.WithCancel(ctx)
		m := &many{Producer: p, waitLimit: waitLimit, calls: make(chan numbered, maxBatch),
			ends: make(chan outcomeOf, window), room: make(chan int, window/maxBatch)}
		m.all.Go(func() { m.read(ctx, calls) })
		for range submitters {
			m.all.Go(func() { m.submit(ctx) })
		}
		go func() {
			m.all.Wait()
			close(m.ends)
		}()
		defer func() {
			stop()
			for range m.ends { // until nothing of this runs any more
			}
		}()
		taken := 0
		for end := range m.ends {
			if !yield(end) {
				return
			}
			if taken++; taken%maxBatch == 0 {
				m.room <- maxBatch
			}
		}
	}
}

// read reads calls for as long as there is room for more, and ends those that cannot be made.
func (m *many) read(ctx context.Context, calls iter.Seq2[call, error]) {
	defer close(m.calls)
	index, room := 0, window
	for c, err := range calls {
		if err == nil {
			select {
			case m.calls <- numbered{index, c}:
			case <-ctx.Done():
				err = notSubmitted(ctx, c)
			}
		}
		if err != nil {
			m.ends <- outcomeOf{index: index, ref: c.ref, err: err}
		}
		index++
		if room--; room == 0 {
			select {
			case room = <-m.room:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func notSubmitted(ctx context.Context, c call) error {
	return fmt.Errorf("submit %s: %w", c.ref, context.Cause(ctx))
}

// submit submits what was read, as many calls together as there are at the time.
func (m *many) submit(ctx context.Context) {
	for first := range m.calls {
		batch := m.gather(first)
		if ctx.Err() != nil {
			for _, c := range batch {
				m.ends <- outcomeOf{index: c.index, ref: c.ref, err: notSubmitted(ctx, c.call)}
			}
			continue
		}
		m.submitBatch(ctx, batch)
	}
}

// gather waits for nothing: a call must not wait for one that nobody has made yet.
func (m *many) gather(first numbered) []numbered {
	batch := []numbered{first}
	for size := len(first.submission.Args); len(batch) < maxBatch && size < batchBytes; {
		select {
		case c, more := <-m.calls:
			if !more {
				return batch
			}
			batch, size = append(batch, c), size+len(c.submission.Args)
		default:
			return batch
		}
	}
	return batch
}

func (m *many) submitBatch(ctx context.Context, batch []numbered) {
	waiters := make([]*waiter, len(batch))
	if m.waitLimit > 0 {
		for i := range batch {
			waiters[i] = m.inbox.wait(ctx, batch[i].ref)
			batch[i].submission.Inbox = m.inbox.channel
		}
	}
	for i, made := range m.submitMany(ctx, batch) {
		c, w := batch[i], waiters[i]
		end := outcomeOf{c.index, c.ref, answer.Snapshot{Record: made.Record, Result: made.Result}, made.Err}
		if made.Ref != "" && made.Status != refcache.Complete && w != nil {
			m.all.Go(func() { m.ends <- m.await(ctx, w, c.call, made, end) })
			continue
		}
		if w != nil {
			w.stop()
		}
		m.ends <- end
	}
}

// await waits for the end of a call, if that is still to come, and finds out how it ended.
func (m *many) await(ctx context.Context, w *waiter, c call, made store.Answered, end outcomeOf) outcomeOf {
	defer w.stop()
	if c.waits(made) {
		// Many calls may long be in each other's way; that is no sign of a lost message.
		now, err := m.Producer.await(ctx, w, end.now, m.waitLimit, maxLook)
		end.now, end.err = now, errorUnlessEnded(made, now, err)
	}
	if end.err == nil {
		end.err = m.failure(ctx, end.now)
	}
	return end
}

// submitMany is submit for many calls of one queue. What was recorded is rung for even if ctx ends meanwhile;
// a crash in between leaves it to the sweep.
func (p *Producer) submitMany(ctx context.Context, batch []numbered) []store.Answered {
	spans := make([]tracing.Span, len(batch))
	for i := range batch {
		c := &batch[i]
		_, spans[i] = p.tracer.Submit(ctx, c.ref, c.submission.Policy.Name)
		c.submission.Trace = spans[i].Link()
	}
	all := p.record(ctx, batch)
	for i, made := range all {
		spans[i].End(p.counted(batch[i].call, made.Submitted), made.Err)
	}
	return all
}

// record submits the calls and enqueues doorbells for those that wait for a worker.
func (p *Producer) record(ctx context.Context, batch []numbered) []store.Answered {
	all := make([]store.Answered, len(batch))
	if err := p.noteQueue(ctx, batch[0].ref.Queue()); err != nil {
		for i, c := range batch {
			all[i].Err = fmt.Errorf("submit %s: %w", c.ref, err)
		}
		return all
	}
	calls := make([]store.Call, len(batch))
	for i, c := range batch {
		calls[i] = store.Call{Ref: c.ref, Submission: c.submission}
	}
	var places []int
	var waiting []store.Record
	for i, made := range p.queue.SubmitMany(ctx, calls) {
		all[i] = made
		if batch[i].submission.Refresh {
			p.local.drop(batch[i].ref)
		}
		if made.Err == nil && made.Status == refcache.Pending && !made.Rang {
			places, waiting = append(places, i), append(waiting, made.Record)
		}
	}
	if len(waiting) == 0 {
		return all
	}
	ctx, cancel := answer.Outliving(ctx, ringTimeout)
	defer cancel()
	for n, err := range p.queue.EnqueueMany(ctx, waiting, queue.AtOnce) {
		if err != nil {
			all[places[n]].Err = fmt.Errorf("%w: %w", refcache.ErrNotQueued, err)
		}
	}
	return all
}
