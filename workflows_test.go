package refq_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// workflow is a file of .github/workflows.
type workflow struct {
	Name        string
	On          map[string]any
	Permissions map[string]string
	Concurrency map[string]any
	Jobs        map[string]struct {
		Strategy struct {
			FailFast bool `yaml:"fail-fast"`
			Matrix   map[string][]string
		}
		RunsOn         string `yaml:"runs-on"`
		Container      string
		TimeoutMinutes int `yaml:"timeout-minutes"`
		Steps          []step
	}
}

// step is one thing that a job does.
type step struct {
	Uses, Run string
	With, Env map[string]string
}

func readWorkflow(t *testing.T, name string) (w workflow) {
	text, err := os.ReadFile(filepath.Join(".github", "workflows", name))
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalWithOptions(text, &w, yaml.Strict()))
	return w
}

// steps are those of the only job, which may read the repository and nothing else, and has the Go of go.mod.
func (w workflow) steps(t *testing.T) []step {
	require.Equal(t, map[string]string{"contents": "read"}, w.Permissions)
	require.Len(t, w.Jobs, 1)
	job := w.Jobs["run"]
	require.NotZero(t, job.TimeoutMinutes, "what hangs must end")
	used := map[string]map[string]string{}
	for _, s := range job.Steps {
		require.NotContains(t, s.Run, "secrets.")
		used[s.Uses] = s.With
	}
	require.Equal(t, map[string]string{"persist-credentials": "false"}, used["actions/checkout@v4"])
	require.Equal(t, map[string]string{"go-version-file": "go.mod"}, used["actions/setup-go@v5"])
	return job.Steps
}

func TestEveryChangeRunsWhatMustPass(t *testing.T) {
	w := readWorkflow(t, "ci.yml")
	require.Contains(t, w.On, "push")
	require.Contains(t, w.On, "pull_request")
	steps := w.steps(t)
	require.Equal(t, step{Run: "bash .ci/run"}, steps[len(steps)-1])
	require.FileExists(t, ".ci/run")
}

func TestWhatTakesLongRunsWeekly(t *testing.T) {
	w := readWorkflow(t, "weekly.yml")
	schedule, ok := w.On["schedule"].([]any)
	require.True(t, ok)
	require.Len(t, schedule, 1)
	cron := strings.Fields(schedule[0].(map[string]any)["cron"].(string))
	require.Len(t, cron, 5)
	require.Equal(t, []string{"*", "*"}, cron[2:4])
	require.NotEqual(t, "*", cron[4], "on one day of the week")

	steps := w.steps(t)
	last := steps[len(steps)-1]
	require.Equal(t, "make ${{ matrix.target }}", last.Run)
	require.Equal(t, "1", last.Env["REFQ_REQUIRE_REDIS"])
	require.Equal(t, []string{"test-long", "fuzz", "chaos-full"}, w.Jobs["run"].Strategy.Matrix["target"])
	require.False(t, w.Jobs["run"].Strategy.FailFast, "what fails hides nothing else")
}

func TestNoOtherWorkflows(t *testing.T) {
	files, err := filepath.Glob(".github/workflows/*")
	require.NoError(t, err)
	require.Equal(t, []string{".github/workflows/ci.yml", ".github/workflows/weekly.yml"}, files, "each is parsed here")
}
