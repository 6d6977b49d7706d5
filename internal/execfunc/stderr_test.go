package execfunc

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
)

// read feeds the pieces to a stderr, and returns what it reported and kept.
func read(pieces ...string) (reports []refcache.Progress, text string) {
	s := stderr{progress: func(p refcache.Progress) { reports = append(reports, p) }}
	for _, piece := range pieces {
		_, _ = s.Write([]byte(piece))
	}
	s.endLine()
	return reports, s.text.String()
}

func TestProgressLines(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]refcache.Progress{
		"refq-progress: 3/10 indexing":                    {Current: 3, Total: 10, Message: "indexing"},
		"refq-progress: 3/10":                             {Current: 3, Total: 10},
		"refq-progress: 3 indexing":                       {Current: 3, Message: "indexing"},
		"refq-progress: 3":                                {Current: 3},
		"refq-progress:3/10  two words ":                  {Current: 3, Total: 10, Message: "two words"},
		"refq-progress: 3 / 10 indexing":                  {Current: 3, Total: 10, Message: "indexing"},
		"refq-progress: 3/10 /data/in.csv\r":              {Current: 3, Total: 10, Message: "/data/in.csv"},
		"refq-progress: 3 /data/in.csv":                   {Current: 3, Message: "/data/in.csv"},
		"refq-progress: 12/10 more than all":              {Current: 12, Total: 10, Message: "more than all"},
		"refq-progress: 0/0 caf\xc3":                      {Message: "caf\uFFFD"},
		"refq-progress: 999999999999999999/1 most":        {Current: 999999999999999999, Total: 1, Message: "most"},
		"refq-progress: 1/2 " + strings.Repeat("x", 9000): {Current: 1, Total: 2, Message: strings.Repeat("x", keep-len("refq-progress: 1/2 "))},
	} {
		reports, text := read(line + "\n")
		require.Equal(t, []refcache.Progress{want}, reports, line)
		require.Empty(t, text, line)
	}
}

func TestMalformedProgressLinesAreOrdinaryText(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"refq-progress", "refq-progress:", "refq-progress: soon", "refq-progress: 3/10indexing", "refq-progress: -1/10",
		"refq-progress: 3/", "refq-progress: 3.5/10", "refq-progress: 1000000000000000000", "Refq-progress: 3/10",
		"refq-progress : 3/10", "x refq-progress: 3/10",
	} {
		reports, text := read("before\n", line, "\nafter\n")
		require.Empty(t, reports, line)
		require.Equal(t, "before\n"+line+"\nafter", text)
	}
}

func TestOnlyWholeLinesAreProgress(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*keep)
	reports, text := read(long+"refq-progress: 1/2\nrefq-", "progress: 1", "0/2", "0\n", "end")
	require.Equal(t, []refcache.Progress{{Current: 10, Total: 20}}, reports)
	require.Equal(t, strings.Repeat("x", keep-len("refq-progress: 1/2\nend"))+"refq-progress: 1/2\nend", text)
}

func TestALineThatBeginsLikeProgressLosesNothing(t *testing.T) {
	t.Parallel()
	reports, text := read("refq-", "uests: 3/10 served\n", "r", "e", "", "fq-progres\nrefq")
	require.Empty(t, reports)
	require.Equal(t, "refq-uests: 3/10 served\nrefq-progres\nrefq", text)
}

func TestTheEndOfALineWithoutEndIsKept(t *testing.T) {
	t.Parallel()
	_, text := read(strings.Repeat("x", 10*keep), strings.Repeat("y", 10), " end")
	require.Equal(t, strings.Repeat("x", keep-14)+"yyyyyyyyyy end", text)
}

func TestTheTailIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, char := range []string{"é", "€", "😀"} {
		for shift := range 4 {
			suffix := strings.Repeat("x", shift)
			_, text := read(strings.Repeat(char, 5000) + suffix)
			require.Equal(t, strings.Repeat(char, (keep-shift)/len(char))+suffix, text)
		}
	}
}

func TestReplacedBytesDoNotMakeTheTailLonger(t *testing.T) {
	t.Parallel()
	_, text := read(strings.Repeat("\xffa", 5000))
	require.Equal(t, strings.Repeat("\uFFFDa", keep/4), text)
}

func TestStderrIsReadInFixedMemory(t *testing.T) {
	t.Parallel()
	s := stderr{progress: func(refcache.Progress) {}}
	chunk := []byte(strings.Repeat("x", 1<<20))
	lines := []byte(strings.Repeat("refq-progress: 1\ny\n", 10))
	for range 100 {
		_, _ = s.Write([]byte("refq-progress: 1 "))
		_, _ = s.Write(chunk)
		_, _ = s.Write(lines)
		_, _ = s.Write(chunk)
	}
	require.LessOrEqual(t, cap(s.line)+cap(s.text.buf), 20*keep)
}

func FuzzProgressLine(f *testing.F) {
	for _, seed := range []string{"refq-progress: 3/10 indexing\n", "refq-progress: 3", "text\nrefq-progress: x\n",
		"refq-progress: 3 / 10 \xc3\n\n", strings.Repeat("refq-progress: 1/2 x", 500) + "\r\n", strings.Repeat("é", 3000)} {
		f.Add(seed, len(seed)/2)
	}
	f.Fuzz(func(t *testing.T, text string, cut int) {
		reports, rest := read(text)
		for _, p := range reports {
			require.True(t, p.Current >= 0 && p.Total >= 0, p)
			requireText(t, p.Message)
			require.NotContains(t, p.Message, "\n")
		}
		requireText(t, rest)

		cut = max(0, min(cut, len(text)))
		inTwo, restOfTwo := read(text[:cut], text[cut:])
		if diff := cmp.Diff(reports, inTwo) + cmp.Diff(rest, restOfTwo); diff != "" {
			t.Fatalf("written in two pieces, cut at %d, it reads differently:\n%s", cut, diff)
		}
	})
}

func requireText(t *testing.T, s string) {
	t.Helper()
	require.LessOrEqual(t, len(s), keep)
	require.Equal(t, strings.TrimSpace(strings.ToValidUTF8(s, "?")), s)
}
