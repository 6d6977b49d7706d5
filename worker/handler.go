package worker

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/declared"
	"github.com/refq/refq/refcache"
)

// function is what a task names. Another version is another function: its results differ.
type function struct {
	name    string
	version int
}

func (f function) String() string { return fmt.Sprintf("%s@%d", f.name, f.version) }

// runner is a function with its types erased: JSON in, JSON out.
type runner func(ctx context.Context, args []byte) ([]byte, error)

// handler is a registered function: run, or what gets it with what it needs. Release is not nil if there is no error; who does not call
// the runner calls that.
type handler struct {
	run     runner
	acquire func(ctx context.Context) (run runner, release func(), err error)
}

// Handle registers fn for calls of f and makes the worker serve f's queue. An error of fn is retried by the policy of
// the call, unless it is [Permanent]; a panic is an error with its stack. fn may run more than once for a call, also at
// the same time on another worker when this one was thought dead, so it must bear that.
//
// ctx ends when the attempt takes longer than the call's Timeout, when its outcome is no longer wanted, and when the
// worker stops; see [Grace]. Handle panics when f is not valid or already handled, when its gate is that of a function
// in another queue or has other numbers there, when fn is nil, and after Run.
func Handle[In, Out any](w *Worker, f refcache.Func[In, Out], fn func(ctx context.Context, in In) (Out, error)) {
	r := register(w, f, fn == nil)
	w.handlers[r.name] = handler{run: r.runner(fn)}
}

// HandleWith is [Handle] for a function that needs something first, such as one of a few processes or licences. The Timeout of a call
// begins when acquire has returned. The ctx of acquire ends as that of fn does, but for the timeout. The call holds its slot meanwhile.
// An error of acquire is one of the attempt: [NotReady] hands the call back. Without an error release is called once, when fn has
// returned, and also if fn is not called; what acquire returns beside an error is not used. HandleWith panics as Handle does, and when
// acquire is nil.
func HandleWith[R, In, Out any](w *Worker, f refcache.Func[In, Out],
	acquire func(ctx context.Context) (r R, release func(), err error), fn func(ctx context.Context, r R, in In) (Out, error)) {
	r := register(w, f, fn == nil || acquire == nil)
	w.handlers[r.name] = handler{acquire: func(ctx context.Context) (runner, func(), error) {
		got, release, err := acquire(ctx)
		if err != nil {
			return nil, nil, err
		}
		if release == nil {
			release = func() {}
		}
		run := r.runner(func(ctx context.Context, in In) (Out, error) { return fn(ctx, got, in) })
		return func(ctx context.Context, args []byte) ([]byte, error) {
			defer release()
			return run(ctx, args)
		}, release, nil
	}}
}

// registered is a function that the worker serves.
type registered[In, Out any] struct {
	name   function
	decode func(args []byte, in any) error
}

// register has the worker serve a function.
func register[In, Out any](w *Worker, f refcache.Func[In, Out], isNil bool) registered[In, Out] {
	policy, err := f.Policy()
	if err == nil {
		err = codec.CheckType(reflect.TypeFor[In](), f.IgnoreUnexported)
	}
	switch {
	case w == nil || w.handlers == nil:
		panic("worker.Handle: the worker is not made by worker.New")
	case err != nil:
		panic(fmt.Sprintf("worker.Handle: %v", err))
	case isNil:
		panic(fmt.Sprintf("worker.Handle: the function for %s is nil", policy.Name))
	case w.ran.Load():
		panic(fmt.Sprintf("worker.Handle: %s comes too late: Run was called before", policy.Name))
	}
	name := function{policy.Name, policy.Version}
	if _, ok := w.handlers[name]; ok {
		panic(fmt.Sprintf("worker.Handle: function %s is handled already", name))
	}
	if err := w.checkGate(name, policy); err != nil {
		panic(fmt.Sprintf("worker.Handle: %v", err))
	}
	w.queues[policy.Queue] = true
	members, all := codec.Members(reflect.TypeFor[In](), f.IgnoreUnexported)
	w.declares[policy.Queue] = append(w.declares[policy.Queue], declared.Function{Policy: policy, Members: members, TakesAll: all,
		AllowUnknown: f.AllowUnknown, Turn: turnFields(f)})
	decode := w.decoder(name, f.AllowUnknown)
	if policy.Gate.Name != "" {
		w.gated[name] = gated{policy, turnBy(f, decode)}
	}
	return registered[In, Out]{name, decode}
}

// runner is fn with its types erased.
func (r registered[In, Out]) runner(fn func(ctx context.Context, in In) (Out, error)) runner {
	return func(ctx context.Context, args []byte) ([]byte, error) {
		var in In
		if err := r.decode(args, &in); err != nil {
			return nil, err
		}
		out, err := fn(ctx, in)
		if err != nil {
			return nil, err
		}
		result, err := codec.Encode(&out)
		if err != nil {
			return nil, Permanent(fmt.Errorf("result of %s cannot be written as JSON: %w", r.name, err))
		}
		return result, nil
	}
}

// decoder returns how the arguments of a function are read. One that lacks a member is a *lackError.
func (w *Worker) decoder(name function, allowUnknown bool) func(args []byte, in any) error {
	return func(args []byte, in any) error {
		decode := codec.DecodeKnown
		if allowUnknown {
			decode = codec.Decode
		}
		err := decode(args, in)
		if unknown, ok := errors.AsType[*codec.UnknownMemberError](err); ok {
			return &lackError{unknown, name}
		}
		if err != nil {
			return Permanent(fmt.Errorf("arguments do not fit %s: %w", name, err))
		}
		return nil
	}
}

// lackError says that a function of this worker does not know a member of a call's arguments.
type lackError struct {
	*codec.UnknownMemberError
	function function
}

func (e *lackError) Error() string { return fmt.Sprintf("%v of %s", e.UnknownMemberError, e.function) }
