package execfunc

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

func TestAKilledWorkerLeavesNoOrphan(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	l := newLifeline(t)
	w := exec.Command(os.Args[0])
	w.Env = append(os.Environ(), helperVariable+"=worker", "LIFELINE="+l.path)
	require.NoError(t, w.Start())
	await(t, "the worker's command is up", l.up)
	require.NoError(t, w.Process.Kill())
	require.Error(t, w.Wait())
	await(t, "the command is dead", l.ended)
}

func TestABackgroundGrandchildCostsNoTime(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	for range 5 { // once in five runs the machine will not be too busy
		start := time.Now()
		_, err := sh(`sleep 1000 &`).Run(t.Context(), nil)
		require.NoError(t, err)
		if time.Since(start) < pipeDelay {
			return
		}
	}
	require.Fail(t, "every run waited for the pipes to be closed")
}
