//go:build unix

package execfunc

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// pipeDelay is how long pipes stay open after the command's own exit, for processes that have left its group.
const pipeDelay = time.Second

// execute runs cmd in a process group of its own until it exits, or is made to because ctx ended. In that case ended
// is the cause, and execute returns within grace. The error is that of cmd.Run, but for pipes that had to be closed.
func execute(ctx context.Context, grace func() time.Duration, cmd *exec.Cmd) (ended, err error) {
	cmd.SysProcAttr = processAttr()
	cmd.WaitDelay = pipeDelay

	// Pdeathsig goes off when the thread ends that started the command.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return nil, &startError{err}
	}
	exited := make(chan struct{})
	watched := make(chan watch)
	go func() { watched <- watchContext(ctx, grace, cmd, exited) }()
	err = wait(cmd, func() {
		close(exited)
		w := <-watched
		if ended = w.ended; ended != nil {
			cmd.WaitDelay = max(time.Millisecond, min(pipeDelay, time.Until(w.deadline)))
		}
		killGroup(cmd, syscall.SIGKILL)
	})
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // what the command itself wrote has been read
	}
	return ended, err
}

// startError says that a command was not started.
type startError struct{ error }

func (e *startError) Unwrap() error { return e.error }

// watch is what watchContext saw.
type watch struct {
	ended    error     // why ctx ended, nil if the command exited before
	deadline time.Time // when its output must have been read in the first case
}

// watchContext makes the command exit when ctx ends: at once if that is its own fault, else with time to clean up.
func watchContext(ctx context.Context, grace func() time.Duration, cmd *exec.Cmd, exited <-chan struct{}) watch {
	select {
	case <-exited:
		return watch{}
	case <-ctx.Done():
	}
	w := watch{ended: context.Cause(ctx), deadline: time.Now().Add(pipeDelay)}
	if w.ended != errTooLong {
		limit := grace()
		margin := min(limit/5, 200*time.Millisecond) // half for the kill, half for the way back
		w.deadline = time.Now().Add(limit - margin/2)
		killGroup(cmd, syscall.SIGTERM)
		select {
		case <-exited:
			return w
		case <-time.After(limit - margin):
		}
	}
	_ = cmd.Process.Kill() // its exit is the end of its group
	return w
}

// killGroup signals the command and what it started. An error means that nobody is left whom we may signal.
func killGroup(cmd *exec.Cmd, signal syscall.Signal) {
	_ = syscall.Kill(-cmd.Process.Pid, signal)
}
