package errpattern_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/errpattern"
	"github.com/refq/refq/refcache"
)

func TestWhatVariesIsLeftOutOfAPattern(t *testing.T) {
	for text, want := range map[string]string{
		"dial tcp 10.0.0.3:6379: connection refused":       "dial tcp …: connection refused",
		"  first line \nstack":                             "first line",
		`open "/srv/a.txt": no such file`:                  `open "…": no such file`,
		`unterminated "quote 7`:                            `unterminated "quote …`,
		"job 3f2b8c1e-9a7d-4c55-8b1f-0e6a2d9c4b7f is gone": "job … is gone",
		"commit deadbeef01 of 0xff, defaced facade":        "commit … of …, defaced facade",
		"exit status 137":                                  "exit status 137",
		"HTTP 404: page 12345 at 2026-11-26 14:35:01.5":    "HTTP 404: page … at … …",
		"503 Service Unavailable after 1.5s":               "503 Service Unavailable after …s",
		"status code: 502, retry 17":                       "status code: 502, retry …",
		"Straße 7 ist gesperrt":                            "Straße … ist gesperrt",
		"exit status 1: Traceback (most recent call last):\n  File\nValueError: 12345 is odd\n": "ValueError: … is odd",
		"":          "",
		"no answer": "no answer",
	} {
		require.Equal(t, want, errpattern.Pattern(text), text)
	}
}

func TestAPatternIsOfBoundedLengthAndWholeCharacters(t *testing.T) {
	for n := range 5 {
		pattern := errpattern.Pattern(strings.Repeat("a", n) + strings.Repeat("€", 5000))
		require.LessOrEqual(t, len(pattern), 300)
		require.Greater(t, len(pattern), 296)
		require.True(t, utf8.ValidString(pattern))
	}
}

// A filter by the piece must find every call of the group.
func TestThePieceOfAPatternIsInAllItsErrors(t *testing.T) {
	for _, text := range []string{"dial tcp 10.0.0.3:6379: connection refused", `user "bob" is not known`, "exit status 1", "7"} {
		require.Contains(t, text, errpattern.Piece(errpattern.Pattern(text)))
	}
	require.Equal(t, ": connection refused", errpattern.Piece("dial tcp …: connection refused"))
	require.Equal(t, "is locked", errpattern.Piece("*** is locked ***", "***"))
	require.Empty(t, errpattern.Piece("… a …"), "it would find half of all errors")
}

func TestGroupsAreSortedByTheirCalls(t *testing.T) {
	var g errpattern.Groups
	require.Empty(t, g.Sorted())
	at := time.Unix(1_764_000_000, 0)
	for n := range 5 {
		g.Add(refcache.TaskInfo{Func: "a", LastError: fmt.Sprint("down: ", n), CompletedAt: new(at.Add(time.Duration(5-n) * time.Second))})
	}
	g.Add(refcache.TaskInfo{Func: "b", LastError: "down: 9"})
	g.Add(refcache.TaskInfo{Func: "b", LastError: "up", CompletedAt: &at})
	g.Add(refcache.TaskInfo{Unreadable: "record of x: 7 is wrong"})
	require.Equal(t, []errpattern.Group{
		{Func: "a", Error: "down: …", Calls: 5, Latest: at.Add(5 * time.Second)},
		{Error: errpattern.Unreadable, Calls: 1},
		{Func: "b", Error: "down: …", Calls: 1},
		{Func: "b", Error: "up", Calls: 1, Latest: at},
	}, g.Sorted())
}

func TestGroupsBeyondAThousandAreCountedTogether(t *testing.T) {
	var g errpattern.Groups
	for n := range 1200 {
		g.Add(refcache.TaskInfo{Func: fmt.Sprint("f", n)})
	}
	g.Add(refcache.TaskInfo{Func: "f0"})
	require.Len(t, g.Sorted(), 1000)
	require.Equal(t, 200, g.Others)
	require.Equal(t, 2, g.Sorted()[0].Calls)
}
