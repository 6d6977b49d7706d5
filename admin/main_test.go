package admin_test

import (
	"strings"
	"testing"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/refq/refq/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// isEnqueue tells asynq's enqueue, run by itself, by its keys.
func isEnqueue(cmd []string) bool {
	return strings.HasPrefix(cmd[0], "EVAL") && strings.HasPrefix(cmd[3], "asynq:{default}:t:") && cmd[4] == "asynq:{default}:pending"
}

// office is the world of most tests, with what this package's tests ask of it.
type office struct{ *kit.Office }

func inOffice(t *testing.T, test func(w *office)) {
	t.Helper()
	kit.InOffice(t, func(o *kit.Office) { test(&office{o}) })
}
