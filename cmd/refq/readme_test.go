package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

// TestReadmeCommands runs what README.md tells people to type. A call may take longer here than it waits by default.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```console\n(.*?)```").FindSubmatch(readme)
	require.NotNil(t, block)
	var script strings.Builder
	for line := range strings.Lines(string(block[1])) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ ")
		require.True(t, ok, "%q is no command", line)
		if strings.HasPrefix(command, "refq call ") {
			command += " --wait 20s"
		}
		script.WriteString("exec " + command + "\n")
	}
	script.WriteString("stdout complete.*wordcount\nkill -INT\nwait\n")
	file := filepath.Join(t.TempDir(), "readme.txtar")
	require.NoError(t, os.WriteFile(file, []byte(script.String()), 0o600))
	testscript.Run(t, testscript.Params{Files: []string{file}, Setup: setUpScript, RequireExplicitExec: true})
}
