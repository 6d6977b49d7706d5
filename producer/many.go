package producer

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"sync"
	"time"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/tracing"
	"github.com/refq/refq/refcache"
)

// many is one use of CallMany or SubmitMany. One goroutine reads calls, submitters submit them in batches, and one
// goroutine per call waits for its end. They all end before the loop over the answers does.
type many struct {
	*Producer
	waitLimit time.Duration // of each call; 0: nobody waits
	answers   bool          // the calls are answered, and not only submitted

	calls chan numbered  // from the reader to the submitters; closed by the reader
	ends  chan outcomeOf // to the loop over the answers; closed when all has ended
	room  chan int       // from that loop to the reader: so many answers were taken, in batches to submit batches
	all   sync.WaitGroup // of the reader, the submitters and the waiting goroutines

	panicked error // what the arguments' iterator or their encoding panicked with; written by the reader
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

const (
	// window is the largest number of calls from the reading of their arguments to the taking of their answers.
	window = 1024
	// maxBatch and batchBytes limit the calls that are submitted together, and the size of their arguments.
	maxBatch   = 128
	batchBytes = 1 << 20
	// submitters is how many batches are submitted at a time: while Redis works at one, the next is made ready.
	submitters = 2
	// enqueueTimeout limits how long doorbells are enqueued for calls on record after ctx has ended.
	enqueueTimeout = 3 * time.Second
)

// makeAll makes the calls and yields what became of each, in no order. The contract is that of CallMany.
func (p *Producer) makeAll(ctx context.Context, calls iter.Seq2[call, error], answers bool, waitLimit time.Duration) iter.Seq[outcomeOf] {
	return func(yield func(outcomeOf) bool) {
		ctx, stop := context.WithCancel(ctx)
		m := &many{Producer: p, waitLimit: waitLimit, answers: answers, calls: make(chan numbered, maxBatch),
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
			if m.panicked != nil {
				panic(m.panicked)
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

// read hands the calls to the submitters while there is room for more. A call that cannot be made ends here. A panic is
// kept for the loop over the answers, whose goroutine is the caller's: here it would end the program.
func (m *many) read(ctx context.Context, calls iter.Seq2[call, error]) {
	defer close(m.calls)
	defer func() {
		if value := recover(); value != nil {
			m.panicked = newPanic(value)
		}
	}()
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

// newPanic is a panic to be raised in another goroutine: it tells where it was raised first. It wraps an error.
func newPanic(value any) error {
	if err, ok := value.(error); ok {
		return fmt.Errorf("%w\n\n%s", err, debug.Stack())
	}
	return fmt.Errorf("%v\n\n%s", value, debug.Stack())
}

func notSubmitted(ctx context.Context, c call) error {
	return fmt.Errorf("submit %s: %w", c.ref, context.Cause(ctx))
}

// submit submits batches until there are no more calls. After the end of ctx it answers the calls with the cause.
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

// gather makes a batch of first and the calls that are there already. It does not wait for more, because a call must
// not wait for one that nobody has made yet.
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

// submitBatch submits calls together. What is still in flight is waited for in the background.
func (m *many) submitBatch(ctx context.Context, batch []numbered) {
	if batch[0].onlyIfCached { // as are all, which have the same options
		for _, c := range batch {
			m.all.Go(func() { m.ends <- m.cached(ctx, c) })
		}
		return
	}
	waiters := make([]*waiter, len(batch))
	if m.waitLimit > 0 {
		for i := range batch {
			waiters[i] = m.inbox.wait(ctx, batch[i].ref)
			batch[i].submission.Inbox = store.Inbox(m.inbox.id)
		}
	}
	for i, made := range m.submitMany(ctx, batch) {
		c, w := batch[i], waiters[i]
		end := outcomeOf{index: c.index, ref: c.ref, err: made.Err}
		if made.Ref != "" {
			end.now = c.found(made)
		}
		if c.served(made) && m.answers {
			end.err = nil // that the run for a new one could not be queued is no matter of this call
		}
		if made.Ref != "" && m.answers && (end.now.Status != refcache.Complete || c.needsNewer(made.Record, made.ReadAt, made.Stamp)) {
			m.all.Go(func() { m.ends <- m.await(ctx, w, c.call, made, end) })
			continue
		}
		if w != nil {
			w.stop()
		}
		m.ends <- end
	}
}

// await waits for the end of a call, if it has not ended yet, and reads how it ended.
func (m *many) await(ctx context.Context, w *waiter, c call, made store.Submitted, end outcomeOf) outcomeOf {
	if w != nil {
		defer w.stop()
	}
	began := time.Now()
	if c.waits(made) {
		// Many calls may be in each other's way for long; this is no sign of a lost message, so it polls rarely.
		now, err := m.Producer.await(ctx, w, end.now, m.waitLimit, maxPoll)
		if err == nil && c.joinedTooEarly(made, now) {
			made, now, err = m.callOnce(ctx, c.again(), max(0, m.waitLimit-time.Since(began)))
		}
		end.now, end.err = c.answered(now, made), errorUnlessEnded(made, now, err)
	}
	if end.err == nil {
		end.err = m.failure(ctx, end.now, c.needsNewer(end.now.Record, made.ReadAt, made.Stamp))
	}
	return end
}

// cached is what is on record for a call that may only read.
func (m *many) cached(ctx context.Context, c numbered) outcomeOf {
	now, err := m.Producer.cached(ctx, c.call)
	if err == nil && m.answers {
		err = m.failure(ctx, now, false)
	}
	return outcomeOf{c.index, c.ref, now, err}
}

// submitMany is submit for many calls of one queue. Calls on record get their doorbells even if ctx ends meanwhile. A
// crash in between leaves that to a worker's sweep.
func (p *Producer) submitMany(ctx context.Context, batch []numbered) []store.Submitted {
	spans := make([]tracing.Span, len(batch))
	for i := range batch {
		c := &batch[i]
		_, spans[i] = p.tracer.Submit(ctx, c.ref, c.submission.Policy.Name)
		c.submission.Trace = spans[i].Link()
	}
	all := p.record(ctx, batch)
	for i, made := range all {
		spans[i].End(p.counted(batch[i].call, made), made.Err)
	}
	return all
}

// record submits the calls and enqueues doorbells for those that wait for a worker.
func (p *Producer) record(ctx context.Context, batch []numbered) []store.Submitted {
	all := make([]store.Submitted, len(batch))
	calls := make([]store.Call, len(batch))
	for i, c := range batch {
		calls[i] = store.Call{Ref: c.ref, Submission: c.submission}
	}
	var positions []int
	var waiting []store.Record
	for i, made := range p.queue.SubmitMany(ctx, calls) {
		all[i] = made
		p.noter.used(ctx, batch[i].ref.Queue(), made.Starts)
		if made.Ref == "" {
			all[i].Err = withCause(ctx, made.Err)
		}
		if batch[i].submission.Refresh {
			p.local.forget(batch[i].ref)
		}
		if made.Err == nil && made.Status == refcache.Pending && !made.Enqueued {
			positions, waiting = append(positions, i), append(waiting, made.Record)
		}
	}
	if len(waiting) == 0 {
		return all
	}
	ctx, cancel := answer.Outliving(ctx, enqueueTimeout)
	defer cancel()
	for n, err := range p.queue.EnqueueMany(ctx, waiting, queue.AtOnce) {
		if err != nil {
			all[positions[n]].Err = fmt.Errorf("%w: %w", refcache.ErrNotQueued, err)
		}
	}
	return all
}
