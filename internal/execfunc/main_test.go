//go:build unix

package execfunc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// A process with this variable set is not the test but one of its commands.
const helperVariable = "EXECFUNC_HELPER"

func TestMain(m *testing.M) {
	if name := os.Getenv(helperVariable); name != "" {
		helpers[name]()
		return
	}
	testkit.Main(m)
}

var helpers = map[string]func(){
	"args":  func() { printJSON(os.Args[1:]) },
	"env":   func() { printJSON(slices.Sorted(slices.Values(os.Environ()))) },
	"group": func() { printJSON(syscall.Getpgrp() == os.Getpid()) },
	"hang":  hang,
	// detach exits and leaves a process behind that is in no group of its own making but has its pipes.
	"detach": func() {
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{helperVariable + "=hang"}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		must(cmd.Start())
		printJSON(cmd.Process.Pid)
	},
	// leave goes to the group of the process that started it.
	"leave": func() {
		group, err := syscall.Getpgid(os.Getppid())
		must(err)
		must(syscall.Setpgid(0, group))
		lifeline, err := os.OpenFile(os.Getenv("LIFELINE"), os.O_WRONLY, 0)
		must(err)
		must(json.NewEncoder(lifeline).Encode("up"))
		hang()
	},
	// worker runs a command until one of the two is killed.
	"worker": func() {
		_, err := hold(os.Getenv("LIFELINE"), `echo up >&3; exec sleep 1000`).Run(context.Background(), nil)
		must(err)
	},
}

func hang() { time.Sleep(time.Hour) }

func printJSON(v any) { must(json.NewEncoder(os.Stdout).Encode(v)) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// helper is one of the helpers as a command.
func helper(name string, args ...string) Command {
	return Command{Argv: append([]string{os.Args[0]}, args...), Env: map[string]string{
		helperVariable: name,
		"GORACE":       "atexit_sleep_ms=0", // do not sleep before exit, under the race detector
	}}
}

func sh(script string) Command {
	return Command{Argv: []string{"sh", "-c", script}}
}

// hold is a script all of whose processes hold the lifeline, to which it says "echo up >&3" when it is.
func hold(lifeline, script string) Command {
	c := sh(`exec 3>"$LIFELINE"; ` + script)
	c.Env = map[string]string{"LIFELINE": lifeline}
	return c
}

// lifeline is a FIFO that a command's processes hold open.
type lifeline struct {
	path  string
	up    chan struct{} // closed when a process wrote the first line
	ended chan struct{} // closed when no process holds it any more
}

func newLifeline(t *testing.T) lifeline {
	l := lifeline{filepath.Join(t.TempDir(), "lifeline"), make(chan struct{}), make(chan struct{})}
	require.NoError(t, syscall.Mkfifo(l.path, 0o600))
	go func() {
		defer close(l.ended)
		f, err := os.Open(l.path) // waits for somebody who writes
		if err != nil {
			return
		}
		defer f.Close()
		r := bufio.NewReader(f)
		if _, err := r.ReadString('\n'); err == nil {
			close(l.up)
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	t.Cleanup(func() { // in case nobody ever wrote
		if f, err := os.OpenFile(l.path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			f.Close()
		}
		<-l.ended
	})
	return l
}

// await waits for what has to happen soon.
func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		require.FailNow(t, "waited a minute in vain until "+what)
		panic("unreachable")
	}
}

// attemptOf is an attempt outside a worker.
func attemptOf(grace time.Duration) attempt {
	return attempt{
		running:  worker.Running{Ref: "media:0123456789abcdef0123456789abcdef", Function: "thumb", Attempt: 2, MaxRetries: 3},
		grace:    func() time.Duration { return grace },
		progress: func(refcache.Progress) {},
	}
}

// outcome is what a run came to.
type outcome struct {
	result string
	err    error
	took   time.Duration // from the end of the context
}

// endWhenUp runs c and ends its context with cause when c writes to the lifeline.
func endWhenUp(t *testing.T, l lifeline, c Command, grace time.Duration, cause error) outcome {
	t.Helper()
	ctx, end := context.WithCancelCause(t.Context())
	defer end(nil)
	done := make(chan outcome, 1)
	go func() {
		result, err := c.run(ctx, nil, attemptOf(grace))
		done <- outcome{result: string(result), err: err}
	}()
	await(t, "the command is up", l.up)
	end(cause)
	start := time.Now()
	o := await(t, "the command ends", done)
	o.took = time.Since(start)
	return o
}

// isPermanent reports whether err is marked by worker.Permanent, whose type is known to the worker only; isUnavailable is the same of
// worker.Unavailable.
func isPermanent(err error) bool { return wraps(err, worker.Permanent(io.EOF)) }

func isUnavailable(err error) bool { return wraps(err, worker.Unavailable(io.EOF, 0)) }

// wraps reports whether an error is, or wraps, one of the type of another.
func wraps(err, like error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if reflect.TypeOf(err) == reflect.TypeOf(like) {
			return true
		}
	}
	return false
}
