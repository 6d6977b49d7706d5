//go:build unix

package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/refq/refq/internal/testkit"
)

// soon is longer than a busy machine takes for anything that these tests wait for. Where only the time tells what
// mended something, that is testkit.Within of what docs/reliability.md promises.
const soon = 40 * time.Second

// A process with this variable set is not the test but one of its puppets; the value is the address of its stage.
const stageVariable = "E2E_STAGE"

func TestMain(m *testing.M) {
	if stage := os.Getenv(stageVariable); stage != "" {
		puppet(stage)
		return
	}
	testkit.Main(withSpawner{m})
}

// withSpawner runs all tests and then ends the thread that starts processes.
type withSpawner struct{ *testing.M }

func (w withSpawner) Run() int {
	defer close(spawner())
	return w.M.Run()
}
