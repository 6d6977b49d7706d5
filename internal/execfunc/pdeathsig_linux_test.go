package execfunc

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAKilledWorkerLeavesNoOrphan(t *testing.T) {
	t.Parallel()
	l := newLifeline(t)
	w := exec.Command(os.Args[0])
	w.Env = append(os.Environ(), helperVariable+"=worker", "LIFELINE="+l.path)
	require.NoError(t, w.Start())
	await(t, "the worker's command is up", l.up)
	require.NoError(t, w.Process.Kill())
	require.Error(t, w.Wait())
	await(t, "the command is dead", l.ended)
}
