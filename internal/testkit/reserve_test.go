package testkit_test

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

// all is more than there is.
const all = 1 << 20

// holdVariable has TestHoldAll hold all units until its process is killed.
const holdVariable = "TESTKIT_HOLD"

func TestHoldAll(t *testing.T) {
	if os.Getenv(holdVariable) == "" {
		t.Skip("a part of TestAKilledProcessFreesItsUnits")
	}
	testkit.Reserve(t, all)
	_, err := os.Stdout.WriteString("held\n")
	require.NoError(t, err)
	select {}
}

func TestAKilledProcessFreesItsUnits(t *testing.T) {
	if testing.Short() || runtime.GOOS == "windows" {
		t.Skip("skipped, it starts a process")
	}
	t.Setenv("TMPDIR", t.TempDir()) // where nobody else has units
	holder := exec.Command(os.Args[0], "-test.run=^TestHoldAll$")
	holder.Env = append(os.Environ(), holdVariable+"=1")
	out, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	for lines := bufio.NewScanner(out); lines.Scan() && !strings.Contains(lines.Text(), "held"); {
	}
	var order events
	var waits sync.WaitGroup
	waits.Go(func() {
		testkit.Reserve(t, 1)
		order.add("reserved")
	})
	time.Sleep(100 * time.Millisecond) // were it not held, it would be reserved by now
	order.add("killed")
	require.NoError(t, holder.Process.Kill())
	waits.Wait()
	_ = holder.Wait()
	require.Equal(t, []string{"killed", "reserved"}, order.all)
}

func TestWhoAsksForMoreThanThereIsRunsAlone(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var running events
	t.Run("tests", func(t *testing.T) {
		for range 3 {
			t.Run("greedy", func(t *testing.T) {
				t.Parallel()
				testkit.Reserve(t, all)
				running.alone(t)
			})
			t.Run("modest", func(t *testing.T) {
				t.Parallel()
				testkit.Reserve(t, 1)
				running.beside()
			})
		}
	})
}

func TestAPartOfATestSharesWhatTheTestReserved(t *testing.T) {
	testkit.Reserve(t, 1)
	t.Run("part", func(t *testing.T) { testkit.RequireReserved(t) })
}

// events are what happened, in this order.
type events struct {
	mu     sync.Mutex
	all    []string
	others sync.RWMutex
}

func (e *events) add(what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, what)
}

// alone requires that nobody else is between alone or beside.
func (e *events) alone(t *testing.T) {
	require.True(t, e.others.TryLock(), "others run")
	time.Sleep(10 * time.Millisecond) // for others to come
	e.others.Unlock()
}

func (e *events) beside() {
	e.others.RLock()
	time.Sleep(10 * time.Millisecond)
	e.others.RUnlock()
}
