package producer

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// CallOption changes what one call does with a result or a failure that is there already. The zero CallOption changes
// nothing.
type CallOption struct {
	retryFailed, refresh, onlyIfCached bool
	maxAge                             *time.Duration
}

// RetryFailed makes a call start anew what had failed, under the policy of this call. A cancelled call is started
// anew by every call.
func RetryFailed() CallOption { return CallOption{retryFailed: true} }

// Refresh makes a call run again although it is complete. Until the new result is there, other calls are answered with
// the old one. If the run fails or is cancelled, the old result stays until it would have expired.
func Refresh() CallOption { return CallOption{refresh: true} }

// MaxAge makes a call take a result only from an attempt that began at most d ago, by Redis's clock. An older one is
// refreshed, and the call waits for that. If the refresh fails, the Response has the old result, and the error is a
// *refcache.TaskError with Refresh; until that failure answers no longer, such calls are answered alike. d must be
// more than 0; [Refresh] is for a result that is newer than the call.
func MaxAge(d time.Duration) CallOption { return CallOption{maxAge: &d} }

// OnlyIfCached makes a call read what is on record and change nothing: no arguments are sent, and nothing is run. The
// answer is a result, also an old one, or a failure that still answers calls. Without either, and if the result is older
// than [MaxAge] or was invalidated, the error is refcache.ErrNotCached. A result older than Func.Fresh is not refreshed.
// It cannot stand beside [Refresh] or [RetryFailed].
func OnlyIfCached() CallOption { return CallOption{onlyIfCached: true} }

// Submit makes a call and returns its ref_id without waiting for it. When the same call was made before it is the
// same ref_id, and nothing runs twice.
//
// If the error is refcache.ErrNotQueued the call is on record, and the Ref valid: calling again, or a worker that
// sweeps, queues it. refcache.ErrArgsTooLarge and refcache.ErrTooManyWaiting mean that nothing was done. Any other
// error means that it is not known whether the call was made; submitting again is safe. If ctx has ended, the error
// wraps its cause.
func Submit[In, Out any](ctx context.Context, p *Producer, f refcache.Func[In, Out], in In, options ...CallOption) (refcache.Ref, error) {
	c, err := prepare(p, f, in, options)
	if err != nil {
		return "", err
	}
	if c.onlyIfCached {
		_, err := p.cached(ctx, c)
		return c.ref, err
	}
	return c.ref, p.submit(ctx, c).Err
}

// RefOf returns the ref_id of a call in a namespace, empty for the default one, without making it. The errors are those of
// arguments and declarations that [Submit] refuses.
func RefOf[In, Out any](namespace string, f refcache.Func[In, Out], in In) (refcache.Ref, error) {
	namespace = cmp.Or(namespace, refcache.DefaultNamespace)
	if err := refcache.CheckName(namespace); err != nil {
		return "", fmt.Errorf("namespace: %w", err)
	}
	c, err := newCall(Config{Namespace: namespace, MaxArgs: math.MaxInt}, f, in)
	return c.ref, err
}

// call is a call about to be made: what f and in come to.
type call struct {
	ref          refcache.Ref
	submission   store.Submission
	onlyIfCached bool // nothing is submitted
	counted      bool // it is not to be counted
}

func prepare[In, Out any](p *Producer, f refcache.Func[In, Out], in In, options []CallOption) (call, error) {
	if err := p.checkCaller(); err != nil {
		return call{}, fmt.Errorf("call %s: %w", f.Name, err)
	}
	c, err := newCall(p.cfg, f, in)
	if err != nil {
		return call{}, err
	}
	if c.submission.Turn, err = turnOf(f, c.submission.Policy.Gate, in, c.submission.Args); err != nil {
		return call{}, fmt.Errorf("call %s: %w", f.Name, err)
	}
	for _, o := range options {
		c.submission.RetryFailed = c.submission.RetryFailed || o.retryFailed
		c.submission.Refresh = c.submission.Refresh || o.refresh
		c.onlyIfCached = c.onlyIfCached || o.onlyIfCached
		if o.maxAge != nil {
			if c.submission.MaxAge = *o.maxAge; *o.maxAge <= 0 {
				return call{}, fmt.Errorf("call %s: max_age is %v, must be more than 0", f.Name, *o.maxAge)
			}
		}
	}
	if c.onlyIfCached && (c.submission.Refresh || c.submission.RetryFailed) {
		return call{}, fmt.Errorf("call %s: only_if_cached runs nothing, refresh and retry_failed do: leave one out", f.Name)
	}
	return c, nil
}

// newCall is a call without options.
func newCall[In, Out any](cfg Config, f refcache.Func[In, Out], in In) (call, error) {
	policy, err := f.Policy()
	if err != nil {
		return call{}, err
	}
	if err := codec.CheckType(reflect.TypeFor[In](), f.IgnoreUnexported); err != nil {
		return call{}, fmt.Errorf("call %s: %w", f.Name, err)
	}
	raw, err := codec.Encode(&in)
	if err != nil {
		return call{}, fmt.Errorf("call %s: %w", f.Name, err)
	}
	if len(raw) > cfg.MaxArgs { // before the work of finding the canonical form, which is hardly ever shorter
		return call{}, tooLarge(f.Name, len(raw), cfg.MaxArgs)
	}
	args, err := codec.Canonical(raw)
	if err != nil {
		return call{}, fmt.Errorf("call %s: %w", f.Name, err)
	}
	if len(args) > cfg.MaxArgs {
		return call{}, tooLarge(f.Name, len(args), cfg.MaxArgs)
	}
	identity, conflict := args, refcache.KeyConflict("")
	if f.Key != nil || len(f.KeyFields) > 0 {
		if identity, err = keyPart(f, in, args); err != nil {
			return call{}, fmt.Errorf("call %s: %w", f.Name, err)
		}
		conflict = cmp.Or(f.KeyConflict, refcache.KeyJoin)
	}
	stamps, err := stampsOf(cfg.Namespace, f, in)
	if err != nil {
		return call{}, fmt.Errorf("call %s: %w", f.Name, err)
	}
	return call{
		ref: codec.NewRef(cfg.Namespace, policy.Queue, policy.Name, policy.Version, identity),
		submission: store.Submission{Request: rand.Text(), Namespace: cfg.Namespace, Policy: policy, Args: args, Fresh: policy.Fresh, KeyConflict: conflict,
			Stamps: stamps},
	}, nil
}

// keyPart is what a call of a function with keys is known by, in place of its arguments.
func keyPart[In, Out any](f refcache.Func[In, Out], in In, args []byte) ([]byte, error) {
	if f.Key != nil {
		return codec.KeyPart(f.Key(in))
	}
	return codec.KeyPart(codec.KeyOf(args, f.KeyFields))
}

// turnOf is where a call stands in the line of its function's gate; the zero Turn if there is none.
func turnOf[In, Out any](f refcache.Func[In, Out], gate refcache.Gate, in In, args []byte) (store.Turn, error) {
	if gate.Name == "" {
		return store.Turn{}, nil
	}
	turn := codec.TurnOf(args, f.TurnFields)
	if f.Turn != nil {
		turn = f.Turn(in)
	}
	if err := turn.Check(); err != nil {
		return store.Turn{}, fmt.Errorf("turn: %w", err)
	}
	return store.NewTurn(gate.Name, turn.Key, turn.Share, turn.Ahead), nil
}

// stampsOf names the stamps that count for a call, none if the function has no tags.
func stampsOf[In, Out any](namespace string, f refcache.Func[In, Out], in In) ([]string, error) {
	if f.Tags == nil {
		return nil, nil
	}
	tags := f.Tags(in)
	if err := codec.CheckTags(tags); err != nil {
		return nil, err
	}
	return store.Stamps(namespace, f.Name, tags), nil
}

func tooLarge(name string, size, limit int) error {
	return fmt.Errorf("call %s: %w: %d bytes, more than max_args %d; pass a reference to large data",
		name, refcache.ErrArgsTooLarge, size, limit)
}

// submit records the call and sees to it that a worker looks at it. The error of a call that is not on record wraps the
// cause of ctx, if that has ended.
func (p *Producer) submit(ctx context.Context, c call) (made store.Submitted) {
	ctx, span := p.tracer.Submit(ctx, c.ref, c.submission.Policy.Name)
	defer func() { span.End(p.counted(c, made), made.Err) }()
	c.submission.Trace = span.Link()
	if ctx.Err() != nil {
		return store.Submitted{Err: notSubmitted(ctx, c)}
	}
	if c.submission.Refresh {
		defer p.local.forget(c.ref)
	}
	made, made.Err = p.queue.Submit(ctx, c.ref, c.submission)
	p.noter.used(ctx, c.ref.Queue(), made.Starts)
	if made.Ref == "" {
		made.Err = withCause(ctx, made.Err)
	}
	return made
}

// withCause adds why ctx has ended to an error that may come of it: Redis's client tells the error of ctx, which is not
// always its cause.
func withCause(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
