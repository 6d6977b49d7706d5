package main

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// runHere runs the demo in this process, without environment.
func runHere(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs, func(string) (string, bool) { return "", false })
	return code, out.String(), errs.String()
}

func TestWrongUsageExits2WithOneSentence(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct{ arg, want string }{
		{missing, `refq: cannot count "` + missing + `": no such file or directory` + "\n"},
		{"--frob", "refq: flag provided but not defined: -frob\n"},
	} {
		code, stdout, stderr := runHere(t.Context(), c.arg)
		require.Equal(t, exitUsage, code)
		require.Empty(t, stdout)
		require.Equal(t, c.want, stderr)
	}
}

func TestWithoutREADMEItSaysWhatToDo(t *testing.T) {
	t.Chdir(t.TempDir())
	code, stdout, stderr := runHere(t.Context())
	require.Equal(t, exitUsage, code)
	require.Empty(t, stdout)
	require.Equal(t, "refq: there is no README.md here: name files to count, as in refq demo go.mod\n", stderr)
}

func TestHelpIsNoError(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := runHere(t.Context(), "--help")
	require.Equal(t, exitDone, code)
	require.Equal(t, usage, stdout)
	require.Empty(t, stderr)
}

func TestAnInterruptedStoryExits1(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	code, stdout, stderr := runHere(ctx, "main.go")
	require.Equal(t, exitOther, code)
	require.Contains(t, stdout, "1. Real input, counted once")
	require.Equal(t, "refq: interrupted\n", stderr)
}
