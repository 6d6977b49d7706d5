package producer

import (
	"context"
	"errors"
	"iter"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/refcache"
)

// Submitted is what became of one of the calls of [SubmitMany]: what [Submit] would have returned.
type Submitted struct {
	Ref refcache.Ref // empty if the arguments did not lead to one
	Err error
}

// SubmitMany makes a call with each of the arguments, without waiting for their ends, and yields the position of the
// arguments in ins, from 0, with what became of the call: each once, in no order. It submits up to 128 calls in one
// round trip, and is else as [CallMany].
func SubmitMany[In, Out any](ctx context.Context, p *Producer, f refcache.Func[In, Out], ins iter.Seq[In], options ...CallOption) iter.Seq2[int, Submitted] {
	return func(yield func(int, Submitted) bool) {
		for end := range p.makeAll(ctx, prepareAll(p, f, ins, options), false, 0) {
			if !yield(end.index, Submitted{end.ref, end.err}) {
				return
			}
		}
	}
}

// CallMany is [Call] with each of the arguments, many at a time. It yields the position of the arguments in ins, from
// 0, with the answer, as the calls end: each once, in no order. Response.Err is the error that Call would have
// returned; then the Response has the ref_id, if the arguments led to one, and what else Call would have answered. An
// error of one call ends no other. As with Call, a call that has not ended f.AsyncTimeout after its submission is
// answered as in flight.
//
// The calls start as the answers are ranged over. A goroutine reads ins, no further than 1,024 calls ahead of the
// answers that were taken, and not before there is room for 128 once there is none; that, the largest argument and
// the largest result bound the memory. The same arguments twice are one call with two answers.
//
// The end of ctx ends the reading and the waiting: what was read and has not ended is answered with its cause, the
// calls go on. Leaving the loop does the same without answers. Both wait until ins yields or returns: one that may
// block should end by itself when it is no longer needed. A panic in ins, or in how an argument is encoded, ends the
// reading; it is raised in the ranging goroutine, with its first stack, when all that was started has ended. A nil ins
// is no calls.
func CallMany[In, Out any](ctx context.Context, p *Producer, f refcache.Func[In, Out], ins iter.Seq[In], options ...CallOption) iter.Seq2[int, refcache.Response[Out]] {
	return func(yield func(int, refcache.Response[Out]) bool) {
		policy, _ := f.Policy() // what is wrong with it, each call says
		for end := range p.makeAll(ctx, prepareAll(p, f, ins, options), true, policy.AsyncTimeout) {
			if !yield(end.index, answerOf[Out](end)) {
				return
			}
		}
	}
}

// prepareAll prepares the calls as they are asked for.
func prepareAll[In, Out any](p *Producer, f refcache.Func[In, Out], ins iter.Seq[In], options []CallOption) iter.Seq2[call, error] {
	return func(yield func(call, error) bool) {
		if ins == nil {
			return
		}
		for in := range ins {
			if !yield(prepare(p, f, in, options)) {
				return
			}
		}
	}
}

func answerOf[Out any](end outcomeOf) refcache.Response[Out] {
	if end.now.Ref == "" {
		return refcache.Response[Out]{RefID: end.ref, Err: end.err}
	}
	res, bad := answer.Response[Out](&end.now)
	res.Err = end.err
	if bad != nil {
		res.Err = errors.Join(end.err, bad)
	}
	return res
}
