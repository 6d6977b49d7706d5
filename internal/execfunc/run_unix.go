//go:build unix

package execfunc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// Check says why the command could not be started here and now: no program is named, or the program or the working
// directory is missing. The error names it and says what to do.
func (c Command) Check() error {
	_, err := c.locate()
	return err
}

// Run executes the command once, with in on its stdin, and blocks until it has exited and its output is read. It has
// the shape of a worker's handler.
//
// Exit code 0 is success: stdout holds one JSON value in UTF-8, which is returned as written, without outer white
// space; none at all is null. Anything else on stdout is a failure, and more than MaxResult a permanent one. Any other exit
// code is a failure, permanent for PermanentExitCodes, whose error has the code. The last 4 KiB of stderr follow the text of
// each failure. If an exit code is not 0, and the last line of stderr is "refq-error: {"code":…,"message":…,"details":…}", the
// error is that of [worker.Fail] instead; "permanent":true in it makes it permanent, else "retry_after_ms":5000 sets the delay
// of the retry, of at most 24 h. Lines "refq-progress: 3/10 indexing" on stderr report progress; the total and the
// message may be missing. A line "refq-unavailable: 20s" makes the failure one of [worker.Unavailable]; the last such
// line counts.
//
// A command that cannot be started is an error of [worker.NotReady].
//
// When ctx ends, the process group gets SIGTERM, and SIGKILL in time for Run to return within [worker.Grace]. The
// error then wraps the context's cause, whatever the command still does. Nothing is started for a ctx that has ended.
// When the command exits, the rest of its group is killed; processes that left the group have their pipes closed after
// a second. On Linux the command is killed when the worker's process dies; what it started itself is not.
func (c Command) Run(ctx context.Context, in json.RawMessage) (json.RawMessage, error) {
	running, _ := worker.Current(ctx)
	return c.run(ctx, in, attempt{
		running: running,
		grace:   func() time.Duration { return worker.Grace(ctx) },
		progress: func(p refcache.Progress) {
			worker.ReportProgress(ctx, p.Current, p.Total, p.Message)
		},
	})
}

// attempt is what a command needs from the worker that runs it.
type attempt struct {
	running  worker.Running
	grace    func() time.Duration
	progress func(refcache.Progress)
}

func (c Command) run(ctx context.Context, in json.RawMessage, a attempt) (json.RawMessage, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	program, err := c.locate()
	if err != nil {
		return nil, worker.NotReady(err, 0)
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	stdout := &stdout{limit: c.maxResult(), tooLong: func() { end(errTooLong) }}
	stderr := &stderr{progress: a.progress}
	ended, err := execute(ctx, a.grace, &exec.Cmd{
		Path:   program,
		Args:   c.Argv,
		Dir:    c.Dir,
		Env:    c.environment(a.running),
		Stdin:  bytes.NewReader(in),
		Stdout: stdout,
		Stderr: stderr,
	})
	stderr.endLine() // the last line may lack its end
	switch {
	case ended != nil && ended != errTooLong:
		return nil, withText(ended, "\n", stderr.text.String())
	case stdout.full:
		err := fmt.Errorf("stdout is longer than max_result, %d bytes", stdout.limit)
		return nil, worker.Permanent(withText(err, "\n", stderr.text.String()))
	case err != nil:
		return nil, c.failure(err, stderr)
	}
	result, err := stdout.result()
	if err != nil {
		return nil, withText(err, "\n", stderr.text.String())
	}
	return result, nil
}

func (c Command) failure(err error, written *stderr) error {
	text := written.text.String()
	if started, ok := errors.AsType[*startError](err); ok {
		return worker.NotReady(fmt.Errorf("run %q: %w", c.Argv[0], started.error), 0)
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return withText(fmt.Errorf("run %q: %w", c.Argv[0], err), "\n", text)
	}
	if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
		return withText(fmt.Errorf("killed by %s", signalName(status.Signal())), ": ", text)
	}
	failed, coded := written.text.errorLine()
	if !coded {
		failed = withText(fmt.Errorf("exit status %d", exit.ExitCode()), ": ", text)
	}
	failed = written.unavailable.mark(failed)
	if c.permanent(exit.ExitCode()) {
		return worker.Permanent(failed)
	}
	return failed
}

func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}

func withText(err error, separator, text string) error {
	if text == "" {
		return err
	}
	return fmt.Errorf("%w%s%s", err, separator, text)
}
