//go:build unix

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

// process is a process that a test started. It does not outlive the test.
type process struct {
	t              *testing.T
	name           string
	cmd            *exec.Cmd
	stdout, stderr output
	exited         chan struct{}
}

// start starts a process in dir, with env and little else for its environment.
func start(t *testing.T, dir string, env []string, program string, args ...string) *process {
	t.Helper()
	testkit.RequireReserved(t)
	p := &process{t: t, name: strings.Join(append([]string{filepath.Base(program)}, args...), " "), cmd: exec.Command(program, args...), exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = dir, append(env, inherited()...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	// What keeps a pipe open after the process must not hold the test.
	p.cmd.WaitDelay = time.Second
	require.NoError(t, spawn(p.cmd))
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.exited)
	}()
	t.Cleanup(p.end)
	return p
}

// end makes sure that the process is gone, and shows what it said if the test failed.
func (p *process) end() {
	_ = p.cmd.Process.Kill() // it has usually ended
	<-p.exited
	if strings.Contains(p.stderr.String(), "DATA RACE") {
		p.t.Errorf("%s has a data race", p.name)
	}
	if p.t.Failed() {
		p.t.Logf("%s: %s\n%s%s", p.name, p.cmd.ProcessState, &p.stdout, &p.stderr)
	}
}

// inherited is what every process needs of the test's environment.
func inherited() (env []string) {
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// kill ends the process without a warning, and returns when it is gone.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// exitCode waits for the end of the process.
func (p *process) exitCode() int {
	p.t.Helper()
	await(p.t, p.name+" exits", p.exited)
	return p.cmd.ProcessState.ExitCode()
}

// says waits until the process has said text on stderr.
func (p *process) says(text string) {
	p.t.Helper()
	for {
		said, more := p.stderr.read()
		if strings.Contains(said, text) {
			return
		}
		select {
		case <-more:
		case <-p.exited:
			require.Contains(p.t, p.stderr.String(), text, "%s ended", p.name)
			return
		case <-time.After(soon):
			require.Fail(p.t, p.name+" does not say "+text)
		}
	}
}

// spawn starts a process. Where the system ends it with the thread that started it, that is a thread that lives as long
// as the test binary: nothing is left behind however that ends.
func spawn(cmd *exec.Cmd) error {
	dieWithParent(cmd)
	started := make(chan error)
	spawner() <- func() { started <- cmd.Start() }
	return <-started
}

var spawner = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for do := range work {
			do()
		}
	}()
	return work
})

// output is what a process has said. Its methods may be called concurrently.
type output struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed when there is more text
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return o.text.Write(b)
}

// read returns the text so far, and a channel that is closed when there is more.
func (o *output) read() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		o.more = make(chan struct{})
	}
	return o.text.String(), o.more
}

func (o *output) String() string {
	text, _ := o.read()
	return text
}

// await waits for what has to happen soon.
func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(soon):
		require.FailNow(t, "waited in vain until "+what)
		panic("unreachable")
	}
}
