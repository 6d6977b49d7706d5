//go:build unix

package execfunc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/worker"
)

// soon is how long a command may take to end that is killed within a second.
var soon = testkit.Within(time.Second)

func TestATimeoutEndsTheCommandWithTheCauseAndItsLastWords(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	l := newLifeline(t)
	cause := &worker.TimeoutError{Limit: time.Second}
	o := endWhenUp(t, l, hold(l.path, `sleep 1000 & trap 'echo last words >&2; exit 0' TERM; echo up >&3; wait`), time.Minute, cause)
	require.EqualError(t, o.err, "timed out after 1s\nlast words")
	require.ErrorIs(t, o.err, cause)
	await(t, "nobody is left", l.ended)
}

func TestADeadlineEndsTheCommand(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	cause := &worker.TimeoutError{Limit: 50 * time.Millisecond}
	ctx, cancel := context.WithTimeoutCause(t.Context(), cause.Limit, cause)
	defer cancel()
	_, err := Command{Argv: []string{"sleep", "1000"}}.Run(ctx, nil)
	require.Equal(t, cause, err)
}

func TestTheCauseIsTheOutcomeWhateverTheCommandStillDoes(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	for _, cause := range []error{worker.ErrShutdown, worker.ErrVoid, &worker.TimeoutError{Limit: time.Second}} {
		for _, last := range []string{`echo 1; exit 0`, `exit 65`, `kill -KILL $$`, `yes; exit 0`} {
			l := newLifeline(t)
			c := hold(l.path, `trap '`+last+`' TERM; sleep 1000 & echo up >&3; wait`)
			c.MaxResult = 1000
			o := endWhenUp(t, l, c, time.Minute, cause)
			require.Equal(t, cause, o.err, last)
			require.Empty(t, o.result)
		}
	}
}

func TestACommandThatIgnoresSIGTERMIsKilledBeforeItsGraceIsOver(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	l := newLifeline(t)
	const grace = 500 * time.Millisecond
	o := endWhenUp(t, l, hold(l.path, `trap '' TERM; echo up >&3; while :; do sleep 1000; done`), grace, worker.ErrVoid)
	require.Equal(t, worker.ErrVoid, o.err)
	require.Greater(t, o.took, grace/2, "it was given no time")
	require.Less(t, o.took, soon)
	await(t, "nobody is left", l.ended)
}

func TestNothingIsStartedOnceTheContextHasEnded(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(worker.ErrShutdown)
	_, err := Command{Argv: []string{"no-such-program"}}.Run(ctx, nil)
	require.Equal(t, worker.ErrShutdown, err, "it was looked for")
}

func TestABackgroundGrandchildDiesWithItsCommand(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	l := newLifeline(t)
	out, err := hold(l.path, `sleep 1000 & echo 1`).Run(t.Context(), nil) // the sleep holds all pipes
	require.NoError(t, err)
	require.Equal(t, "1", string(out))
	await(t, "the grandchild is dead", l.ended)
}

func TestAGrandchildThatSurvivesSIGTERMDiesWithItsCommand(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	l := newLifeline(t)
	c := hold(l.path, `echo 1 >&2; (trap '' TERM; echo up >&3; sleep 1000) & wait`)
	o := endWhenUp(t, l, c, time.Minute, worker.ErrVoid)
	require.ErrorIs(t, o.err, worker.ErrVoid)
	require.Less(t, o.took, soon)
	await(t, "the grandchild is dead", l.ended)
}

func TestAGrandchildOutsideTheGroupDoesNotHoldTheAttempt(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	in := bytes.Repeat([]byte(" "), 1<<20) // which it does not read
	out, err := helper("detach").Run(t.Context(), in)
	require.NoError(t, err)
	require.True(t, killed(t, out), "Run returned before the grandchild ended")
}

func TestAGrandchildOutsideTheGroupDoesNotEatTheGrace(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	l := newLifeline(t)
	ctx, end := context.WithCancelCause(t.Context())
	var out bytes.Buffer
	cmd := exec.Command("sh", "-c", `"$0"; exec 3>"$LIFELINE"; echo up >&3; sleep 1000`, os.Args[0])
	cmd.Env = []string{helperVariable + "=detach", "GORACE=atexit_sleep_ms=0", "LIFELINE=" + l.path}
	cmd.Stdout = &out
	go func() {
		<-l.up
		end(worker.ErrShutdown)
	}()
	const grace = 300 * time.Millisecond
	ended, _ := execute(ctx, func() time.Duration { return grace }, cmd)
	require.Equal(t, worker.ErrShutdown, ended)
	require.Less(t, cmd.WaitDelay, grace, "the pipes would stay open for longer than there is time")
	killed(t, out.Bytes())
}

func TestACommandThatLeavesItsGroupIsKilledAllTheSame(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	l := newLifeline(t)
	c := helper("leave")
	c.Env["LIFELINE"] = l.path
	o := endWhenUp(t, l, c, 100*time.Millisecond, worker.ErrVoid)
	require.Equal(t, worker.ErrVoid, o.err)
	await(t, "it is dead", l.ended)
}

func TestACommandHasAProcessGroupOfItsOwn(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	out, err := helper("group").Run(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, "true", string(out))
}

// killed ends the process whose id a helper printed, and reports whether it was still there.
func killed(t *testing.T, out []byte) bool {
	t.Helper()
	var pid int
	require.NoError(t, json.Unmarshal(out, &pid))
	require.Greater(t, pid, 1, strconv.Itoa(pid))
	err := syscall.Kill(pid, syscall.SIGKILL)
	if !errors.Is(err, syscall.ESRCH) {
		require.NoError(t, err)
	}
	return err == nil
}
