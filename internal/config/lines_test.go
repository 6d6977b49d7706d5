package config_test

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/testkit"
)

// breakages are what may happen to one line of a file: what it becomes.
var breakages = map[string]func(line string) string{
	"deleted":            func(string) string { return "" },
	"doubled":            func(line string) string { return line + line },
	"indented":           func(line string) string { return " " + line },
	"indented by tab":    func(line string) string { return "\t" + line },
	"outdented":          func(line string) string { return strings.TrimLeft(line, " ") },
	"cut in half":        func(line string) string { return line[:len(line)/2] + "\n" },
	"without colon":      func(line string) string { return strings.Replace(line, ":", "", 1) },
	"with invalid UTF-8": func(line string) string { return strings.Replace(line, ":", ":\xff", 1) },
	"with NUL":           func(line string) string { return strings.Replace(line, ":", ":\x00", 1) },
	"with an escape":     func(line string) string { return strings.Replace(line, ":", ": \"\x1b[31m\" #", 1) },
	"with a typo":        func(line string) string { return strings.Replace(line, "e", "ee", 1) },
	"with no value":      value(""),
	"with null":          value("~"),
	"with a list":        value("[1, [2]]"),
	"with a mapping":     value("{a: {b: c}}"),
	"with a text":        value("'a text'"),
	"with a number":      value("-1.5"),
	"with a huge number": value(strings.Repeat("9", 1000)),
	"with infinity":      value(".inf"),
	"with true":          value("true"),
	"with a date":        value("2026-11-25"),
	"with an alias":      value("*nothing"),
	"with a tag":         value("!!binary aGk="),
	"with open bracket":  value("["),
	"with open quote":    value(`"`),
	"deeply nested":      value(strings.Repeat("[", 10_000)),
	"very long":          value(strings.Repeat("x", 10_000)),
}

var valueOf = regexp.MustCompile(`:( .*)?\n$`)

// value gives a line another value.
func value(text string) func(line string) string {
	return func(line string) string { return valueOf.ReplaceAllLiteralString(line, ": "+text+"\n") }
}

// said is how a message says what is wrong and what would be right.
var said = regexp.MustCompile(`^config\.yaml:([1-9][0-9]*): .*( must |: use |did you mean |known are |belongs? |is set twice, first in line |` +
	`not valid YAML: |is not UTF-8 text|stands for nothing above it|put a text in quotes|nested deeper than 200|has no use without exec)`)

// Every line of the files that people start from, broken in every way: the file is refused in one readable line that
// names the place and what should stand there, or it is still a good one.
func TestFilesBrokenInAnyOneLineAreRefusedReadablyOrGood(t *testing.T) {
	testkit.Long(t)
	t.Parallel()
	shipped, err := os.ReadFile("../../config.yaml")
	require.NoError(t, err)
	sample, err := fs.ReadFile(config.Sample(), "config.yaml")
	require.NoError(t, err)
	before, example, _ := strings.Cut(string(shipped), "functions: {}")
	example = strings.ReplaceAll(strings.ReplaceAll("functions:"+example, "\n# ", "\n "), "\n#", "\n")
	for name, text := range map[string]string{"shipped": string(shipped), "with the example": before + example, "sample": string(sample)} {
		lines := strings.SplitAfter(text, "\n")
		refused := 0
		for n, line := range lines {
			if strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			for way, broken := range breakages {
				lines[n] = broken(line)
				refused += checkBroken(t, strings.Join(lines, ""), fmt.Sprintf("%s file, line %d, %s", name, n+1, way))
			}
			lines[n] = line
		}
		require.Greater(t, refused, 100, name)
	}
}

// checkBroken loads a file that may be broken, and returns 1 if it is refused.
func checkBroken(t *testing.T, text, what string) int {
	t.Helper()
	c, err := load(t, text, nil, nil)
	if err != nil {
		require.Regexp(t, said, err.Error(), what)
		require.NotRegexp(t, `[\x00-\x1f\x7f]|\xff`, err.Error(), what)
		require.Less(t, len(err.Error()), 500, what)
		return 1
	}
	for _, fn := range c.Functions {
		_, err := fn.Func.Policy()
		require.NoError(t, err, what)
	}
	return 0
}

func TestFilesCutAtAnyByteAreRefusedReadablyOrGood(t *testing.T) {
	testkit.Long(t)
	t.Parallel()
	sample, err := fs.ReadFile(config.Sample(), "config.yaml")
	require.NoError(t, err)
	for at := range len(sample) {
		checkBroken(t, string(sample[:at]), fmt.Sprintf("cut at byte %d", at))
	}
}

func TestFilesThatWouldTakeForEverAreRefused(t *testing.T) {
	t.Parallel()
	const many = 250_000
	for text, want := range map[string]string{
		"redis: " + strings.Repeat("[", many):                             "config.yaml:1: nested deeper than 200",
		"redis: " + strings.Repeat("[", many) + strings.Repeat("]", many): "config.yaml:1: nested deeper than 200",
		"redis:\n" + strings.Repeat("{a:\n", many):                        "config.yaml:202: nested deeper than 200",
		"redis:\n  " + strings.Repeat("- ", many):                         "config.yaml:2: nested deeper than 200",
		"redis:\n" + strings.Repeat(" ", 300) + "a: b":                    "config.yaml:2: nested deeper than 200",
		strings.Repeat("#", 1<<20+1):                                      "read configuration: config.yaml has more than 1048576 bytes: is it the right file?",
	} {
		_, err := load(t, text, nil, nil)
		require.EqualError(t, err, want)
	}
	_, err := load(t, strings.Repeat("#", 1<<20), nil, nil)
	require.NoError(t, err)
	if _, err := os.Stat("/dev/zero"); err == nil {
		_, err := config.Load(config.Options{Flags: map[string]string{"config": "/dev/zero"}})
		require.EqualError(t, err, "read configuration: /dev/zero has more than 1048576 bytes: is it the right file?")
	}
}
