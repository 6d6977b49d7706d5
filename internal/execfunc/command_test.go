//go:build unix

package execfunc

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
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
		require.Equal(t, err, ran)
	}
	require.NoError(t, Command{Argv: []string{"sh"}, Dir: dir}.Check())
}
