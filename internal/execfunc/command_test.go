//go:build unix

package execfunc

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/worker"
)

func TestTheEnvironmentIsExactlyWhatWasNamed(t *testing.T) {
	testkit.Reserve(t, 3)
	for name, value := range map[string]string{"HOME": "/home/refq", "LANG": "C.UTF-8", "TMPDIR": "/tmp/refq",
		"LICENSE": "from worker", "MODE": "from worker", "REFQ_REDIS": "redis://:secret@localhost", "REFQ_ATTEMPT": "99"} {
		t.Setenv(name, value)
	}
	t.Setenv("TZ", "") // so that it is restored
	require.NoError(t, os.Unsetenv("TZ"))
	c := helper("env")
	c.Env["MODE"] = "from entry"
	c.Env["LANG"] = "de_DE.UTF-8"
	c.Env["REFQ_FUNCTION"] = "somebody else"
	c.InheritEnv = []string{"LICENSE", "MODE", "NOT_SET"}
	out, err := c.run(t.Context(), nil, attemptOf(time.Minute))
	require.NoError(t, err)
	var got []string
	require.NoError(t, json.Unmarshal(out, &got))
	want := []string{
		helperVariable + "=env", "GORACE=atexit_sleep_ms=0",
		"PATH=" + os.Getenv("PATH"), "HOME=/home/refq", "LANG=de_DE.UTF-8", "TMPDIR=/tmp/refq",
		"LICENSE=from worker", "MODE=from entry",
		"REFQ_REF_ID=media:0123456789abcdef0123456789abcdef", "REFQ_ATTEMPT=2", "REFQ_MAX_RETRIES=3", "REFQ_FUNCTION=thumb",
	}
	slices.Sort(want)
	require.Equal(t, want, got)
}

func TestACommandRunsInItsDirectory(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	c := sh(`printf '"%s"' "$(/bin/pwd)"`)
	c.Dir = dir
	out, err := c.Run(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, `"`+dir+`"`, string(out))
}

func TestAProgramWithASlashIsRelativeToTheDirectory(t *testing.T) {
	testkit.Reserve(t, 3)
	t.Chdir(t.TempDir())
	require.NoError(t, os.MkdirAll("sub/bin", 0o700))
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, "sub/bin/tool"))
	for _, program := range []string{"./bin/tool", "bin/tool"} {
		c := helper("args", "x")
		c.Argv[0] = program
		c.Dir = "sub"
		require.NoError(t, c.Check())
		out, err := c.Run(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, `["x"]`, string(out))
	}
	c := Command{Argv: []string{"tool"}, Env: map[string]string{"PATH": "sub/bin"}}
	require.ErrorContains(t, c.Check(), "not in PATH", "relative entries would depend on where the worker runs")
}

func TestAProgramIsLookedForInThePathThatTheCommandGets(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	dir := t.TempDir()
	require.NoError(t, os.Symlink(os.Args[0], filepath.Join(dir, "tool")))
	c := helper("args")
	c.Argv[0] = "tool"
	require.ErrorContains(t, c.Check(), `program "tool" is not in PATH (`+os.Getenv("PATH")+`)`)
	c.Env["PATH"] = "relative:" + dir
	require.NoError(t, c.Check())
	_, err := c.Run(t.Context(), nil)
	require.NoError(t, err)
}

func TestCheckReadsTheFirstLineOfAScript(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "interpreter"), []byte("#!/bin/sh\nexec /bin/sh \"$@\"\n"), 0o700))
	long := "#!/bin/sh " + strings.Repeat("x", 1000)
	for begin, want := range map[string]string{
		"#!/bin/sh\necho 1\n":           "",
		"#! \t/bin/sh":                  "",
		"#!/bin/sh -e\necho 1\n":        "",
		"#!/usr/bin/env sh\necho 1\n":   "",
		"#!/usr/bin/env -S A=1 sh -e\n": "",
		"#!./interpreter\n":             "",
		"\x7fELF\x00":                   "",
		"caf\xe9 is no UTF-8":           "",
		long:                            "",
		"":                              "is empty",
		"#!":                            `the first line is "#!", but it names no interpreter`,
		"#!/bin/sh\r\necho 1\r\n":       "the first line ends with a carriage return, so its interpreter is not found: save the file with Unix line ends",
		"#!/usr/bin/env sh\r\n":         "carriage return",
		"#!/opt/gone/bin/python3 -u\nimport sys\n":  `the first line is "#!/opt/gone/bin/python3 -u", but /opt/gone/bin/python3 is no executable file: install it`,
		"#!/usr/bin/env no-such-python\n":           `but program "no-such-python" is not in PATH (`,
		"#!/usr/bin/env -S A=1 no-such-python -u\n": `but program "no-such-python" is not in PATH (`,
		"echo 1\n": `is a text without "#!" in its first line: name its interpreter there, or in exec`,
		"import sys # caf" + strings.Repeat("é", 300): `is a text without "#!"`,
		"\ufeff#!/bin/sh\necho 1\n":                   `a byte order mark stands before "#!"`,
	} {
		path := filepath.Join(dir, "script")
		require.NoError(t, os.WriteFile(path, []byte(begin), 0o700))
		err := Command{Argv: []string{"./script"}, Dir: dir}.Check()
		if want == "" {
			require.NoError(t, err, begin)
			continue
		}
		require.ErrorContains(t, err, "program "+path, begin)
		require.ErrorContains(t, err, want, begin)
	}
	if runtime.GOOS == "linux" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "script"), []byte("#!/usr/bin/env sh -e\n"), 0o700))
		require.ErrorContains(t, Command{Argv: []string{"./script"}, Dir: dir}.Check(), `env looks for a program named "sh -e": write "env -S sh -e"`)
	}
	require.NoError(t, os.Chmod(filepath.Join(dir, "script"), 0o100), "it can be run, and not read")
	if os.Getuid() != 0 {
		require.NoError(t, Command{Argv: []string{"./script"}, Dir: dir}.Check())
	}
}

func TestTheInterpreterOfAScriptIsLookedForInThePathThatTheCommandGets(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	dir, bin := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "script"), []byte("#!/usr/bin/env tool\n"), 0o700))
	c := helper("args")
	c.Argv = []string{"./script"}
	c.Dir = dir
	c.Env["PATH"] = bin
	require.ErrorContains(t, c.Check(), `program "tool" is not in PATH (`+bin+`)`)
	require.NoError(t, os.Symlink(os.Args[0], filepath.Join(bin, "tool")))
	require.NoError(t, c.Check())
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plain.py"), nil, 0o600))
	for _, test := range []struct {
		c    Command
		want []string
	}{
		{Command{}, []string{"exec is empty"}},
		{Command{Argv: []string{""}}, []string{"exec is empty"}},
		{Command{Argv: []string{"no-such-program"}}, []string{`program "no-such-program" is not in PATH`}},
		{Command{Argv: []string{"./gone.py"}, Dir: dir}, []string{`program "./gone.py"`, dir + "/gone.py", "no such file"}},
		{Command{Argv: []string{"./plain.py"}, Dir: dir}, []string{`program "./plain.py"`, "permission denied"}},
		{Command{Argv: []string{dir}}, []string{dir, "is a directory"}},
		{Command{Argv: []string{"sh"}, Dir: dir + "/gone"}, []string{"working directory", dir + "/gone", "set dir"}},
		{Command{Argv: []string{"sh"}, Dir: dir + "/plain.py"}, []string{"working directory " + dir + "/plain.py is a file"}},
	} {
		err := test.c.Check()
		for _, want := range test.want {
			require.ErrorContains(t, err, want)
		}
		_, ran := test.c.Run(t.Context(), nil)
		require.Equal(t, worker.NotReady(err, 0), ran)
	}
	require.NoError(t, Command{Argv: []string{"sh"}, Dir: dir}.Check())
}
