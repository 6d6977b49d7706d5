package demo

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/internal/testkit"
)

// tellDemo runs the demo, in a bubble, and returns what it printed.
func tellDemo(t *testing.T, out term.Screen, paths ...string) string {
	t.Helper()
	var printed bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		out.To = &printed
		began := time.Now()
		require.NoError(t, Tell(t.Context(), &out, paths))
		require.Less(t, time.Since(began), 25*time.Second)
	})
	return printed.String()
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestDemoTellsTheWholeStory(t *testing.T) {
	t.Parallel()
	told := tellDemo(t, term.Screen{}, writeFile(t, "poem.txt", "to be\nor not to be\n"))
	for _, part := range []string{
		`1\. Real input`,
		`complete in [\d.]+ (ms|s): .*poem\.txt\n +2 lines, 6 words, 19 bytes\n +sha256 c92d540dad5fc778ad30f29ad2dbbc29561599ee80cb1c16a280c7a895b302e1\n`,
		`1 call, 1 execution\.`,
		`complete in [\d.]+ ms: .*poem\.txt`,
		`2 calls, 1 execution: .*cache`,

		`2\. A call that fails twice`,
		` 0\.0 s  processing  attempt 1`,
		` 0\.1 s  (processing|retrying)  ref_id:default:[0-9a-f]{32}\n`,
		` 0\.3 s  retrying    attempt 1 failed: the bank is busy; the next in 1\.0 s\n`,
		` s  processing  attempt 2\n`,
		` s  retrying    attempt 2 failed: the bank is busy; the next in 2\.0 s\n`,
		` s  processing  attempt 3\n`,
		` s  complete\n`,
		`  {"success":true,"attempts":3}\n`,

		`3\. A slow call`,
		`processing  ref_id:default:[0-9a-f]{32}\n`,
		` 1\d %  page [5-9]   ETA [34]\.\d s\n`,
		` 5\d %  page 2\d  ETA [12]\.\d s\n`,
		`100 %  complete\n`,
		`  {"pages":50,"grams":225}\n`,

		`4\. A service that is down`,
		`  failed  ref_id:default:[0-9a-f]{32}\n`,
		`can_retry:false  exhausted:true  retry_count:2  max_retries:2\n`,
		`    1        1  .* in 200 ms     exchange: connection refused\n`,
		`    1        2  .* in 400 ms     exchange: connection refused\n`,
		`    1        3  .* none          exchange: connection refused\n`,
		`  retries exhausted: .*FreshBudget.*--fresh`,
		`  complete  ref_id:default:[0-9a-f]{32}\n  {"pair":"EUR/USD","rate":1\.0842}\n`,
		`cycle 2; the 3 failed attempts`,
		`That was refq, in \d+\.\d s`,
	} {
		place := regexp.MustCompile(part).FindStringIndex(told)
		require.NotNil(t, place, "%s\nis not in the rest of the story:\n%s", part, told)
		told = told[place[1]:]
	}
}

func TestDemoIsPlainLinesWhenItIsNotOnATerminal(t *testing.T) {
	t.Parallel()
	told := tellDemo(t, term.Screen{}, writeFile(t, "a.txt", "a\n"))
	require.Equal(t, -1, strings.IndexFunc(told, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }))
	for line := range strings.Lines(told) {
		line = strings.TrimSuffix(line, "\n")
		require.Less(t, runewidth.StringWidth(line), 80, line)
		require.Equal(t, strings.TrimRight(line, " "), line)
	}
}

func TestDemoHasABarAndColoursOnATerminal(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "a.txt", "a\n")
	coloured := tellDemo(t, term.Screen{Terminal: true, Colour: true}, path)
	require.Contains(t, coloured, "\x1b["+term.Green+"mcomplete\x1b[0m")
	require.Regexp(t, `\[\S*=+\S*>-+\]  +[4-6]\d %  page [23]\d  ETA [1-3]\.\d s`, coloured)

	// NO_COLOR: the bar moves the cursor, nothing else is sent.
	plain := tellDemo(t, term.Screen{Terminal: true}, path)
	require.NotContains(t, regexp.MustCompile(`\x1b\[1A\x1b\[J`).ReplaceAllString(plain, ""), "\x1b")
	require.Regexp(t, `  \[=+\] 100 %  complete *\n\n`, plain)
}

// What is shown as code is what the demo does: each line stands in its own source.
func TestDemoShowsTheCallsThatItMakes(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	for _, name := range []string{"demo", "caching", "retries", "progress", "outage"} {
		text, err := os.ReadFile(name + ".go")
		require.NoError(t, err)
		source.Write(regexp.MustCompile("`[^`]*`").ReplaceAll(text, nil)) // without the lines as they are shown
	}
	told := tellDemo(t, term.Screen{}, writeFile(t, "a.txt", "a\n"))
	shown := 0
	for _, line := range regexp.MustCompile(`(?m)^    (\S.*?)(  // .*)?$`).FindAllStringSubmatch(told, -1) {
		if code := line[1]; !regexp.MustCompile(`^(sha256|\d+ lines?,|\d+ %) `).MatchString(code) {
			shown++
			require.True(t, strings.Contains(source.String(), code), code)
		}
	}
	require.Greater(t, shown, 12)
}

func TestDemoCountsAnyFile(t *testing.T) {
	t.Parallel()
	told := tellDemo(t, term.Screen{},
		writeFile(t, "empty", ""),
		writeFile(t, "binary", "\x00\xff\xfe\x1b[31m\n\x80 "),
		writeFile(t, "no newline", "one"),
		writeFile(t, "\x1b[31mred", "x\n"),
	)
	require.Contains(t, told, "empty\n    0 lines, 0 words, 0 bytes\n    sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n")
	require.Contains(t, told, "binary\n    1 line, 2 words, 11 bytes\n")
	require.Contains(t, told, "no newline\n    0 lines, 1 word, 3 bytes\n")
	require.Contains(t, told, `\x1b[31mred`)
	require.NotContains(t, told, "\x1b")
	require.Contains(t, told, "8 calls, 4 executions")
}

func TestDemoCountsAFileThatIsNamedTwiceOnce(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "a.txt", "a\n")
	told := tellDemo(t, term.Screen{}, path, path)
	require.Contains(t, told, "2 calls, 1 execution.")
	require.Contains(t, told, "4 calls, 1 execution:")
}

func TestDemoShowsTheFirstOfManyFiles(t *testing.T) {
	t.Parallel()
	var paths []string
	for i := range 60 {
		paths = append(paths, writeFile(t, strings.Repeat("long", i%50)+".txt", strings.Repeat("a\n", i)))
	}
	told := tellDemo(t, term.Screen{}, paths...)
	require.Contains(t, told, "and 50 files more")
	require.Contains(t, told, "120 calls, 60 executions")
}

func TestDemoRefusesWhatItCannotCountBeforeItCallsAnything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): `missing": no such file`,
		dir:                           "it is a directory",
		os.DevNull:                    "it is no regular file",
		"":                            `cannot count ""`,
	} {
		var printed bytes.Buffer
		err := Tell(t.Context(), &term.Screen{To: &printed}, []string{writeFile(t, "fine", "a"), path})
		require.ErrorContains(t, err, want)
		require.ErrorAs(t, err, new(*FileError))
		require.Empty(t, printed.String())
	}
}

func TestDemoWithoutFilesWantsAREADME(t *testing.T) {
	t.Chdir(t.TempDir())
	err := Tell(t.Context(), &term.Screen{To: new(bytes.Buffer)}, nil)
	require.EqualError(t, err, "there is no README.md here: name files to count, as in refq demo go.mod")

	require.NoError(t, os.WriteFile("README.md", []byte("hello"), 0o600))
	files, err := lookAtFiles(nil)
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.Equal(t, "README.md", files[0].Path)
}

func TestDemoRefusesAFileThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "secret", "a")
	require.NoError(t, os.Chmod(path, 0))
	if file, err := os.Open(path); err == nil {
		file.Close()
		t.Skip("this user may read every file")
	}
	_, err := lookAtFiles([]string{path})
	require.ErrorIs(t, err, fs.ErrPermission)
}

func TestDemoEndsAtOnceWhenItIsInterrupted(t *testing.T) {
	testkit.Long(t)
	t.Parallel()
	path := writeFile(t, "a.txt", "a\n")
	for after := 50 * time.Millisecond; after < 9*time.Second; after += 770 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			ctx, interrupt := context.WithTimeout(t.Context(), after)
			defer interrupt()
			began := time.Now()
			err := Tell(ctx, &term.Screen{To: new(bytes.Buffer), Terminal: true}, []string{path})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Less(t, time.Since(began)-after, time.Second)
		})
	}
}
