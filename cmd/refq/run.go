package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/refcache"
)

// Exit codes, which scripts rely on.
const (
	exitDone      = 0 // complete, or done
	exitOther     = 1
	exitUsage     = 2
	exitInFlight  = 3
	exitFailed    = 4
	exitCancelled = 5
)

// run executes one command line and returns its exit code. Answers go to stdout, logs, notices and errors to stderr.
// The end of ctx stops a worker gracefully, and ends any waiting, but no call. env is like os.LookupEnv.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) (string, bool)) (code int) {
	a := newApp(stdin, stdout, stderr, env)
	defer func() {
		if p := recover(); p != nil {
			a.log.Debug("panic", "value", p, "stack", string(debug.Stack()))
			a.complain(fmt.Errorf("%v: this is a bug in refq, please report it with what --log-level debug shows", p))
			code = exitOther
		}
	}()
	defer func() { a.traces.End() }()
	root := newRoot(a)
	root.SetArgs(args)
	return a.exitCode(ctx, root.ExecuteContext(ctx))
}

// exitCode says what went wrong, unless that was said, and how to exit.
func (a *app) exitCode(ctx context.Context, err error) int {
	var status exitStatus
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		a.complain(err)
		return exitUsage
	case ctx.Err() != nil:
		a.log.Debug("interrupted", "err", err)
		err = errors.New("interrupted")
	}
	a.complain(err)
	return exitOther
}

// exitStatus is the error of a verb that has said all it has to say.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// exitBy tells the status of a task; nil if it is complete.
func exitBy(s refcache.Status) error {
	switch s {
	case refcache.Complete:
		return nil
	case refcache.Failed:
		return exitStatus(exitFailed)
	case refcache.Cancelled:
		return exitStatus(exitCancelled)
	}
	return exitStatus(exitInFlight)
}

// usageError says that the command line, the environment or config.yaml is not as it must be.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// onEach does one thing to each of the tasks that were named.
func (a *app) onEach(ctx context.Context, args []string, do func(*admin.Admin, refcache.Ref) error) error {
	refs, err := parseRefs(args)
	if err != nil {
		return err
	}
	operator, end, err := a.newAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	return a.forEach(ctx, refs, func(ref refcache.Ref) error { return do(operator, ref) })
}

// forEach does something for each of several refs. An error of one is said and does not keep the others from it. The
// exit status is 1 if there was any such error, else the highest.
func (a *app) forEach(ctx context.Context, refs []refcache.Ref, do func(refcache.Ref) error) error {
	highest, unanswered := exitStatus(exitDone), false
	for _, ref := range refs {
		var status exitStatus
		switch err := do(ref); {
		case ctx.Err() != nil && err != nil:
			return err
		case errors.As(err, &status):
			highest = max(highest, status)
		case err != nil:
			a.complain(err)
			unanswered = true
		}
	}
	switch {
	case unanswered:
		return exitStatus(exitOther)
	case highest != exitDone:
		return highest
	}
	return nil
}
