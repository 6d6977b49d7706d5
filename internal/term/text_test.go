package term_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/term"
)

// FuzzText: nothing of others' text acts on a terminal, and JSON keeps its meaning.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "plain", "\x1b[2J\x07\x00", "a\r\nb\tc", "\xff\xc3", "\u202e\u2066\ufeff", "é世界🐙", "\U000e0041", `{"a":"\u001b` + "\u009b" + `"}`, "[\t1,\r\n2 ]", "\"\x7f\U000e0001\""} {
		f.Add(seed, 10)
	}
	f.Fuzz(func(t *testing.T, text string, columns int) {
		for name, shown := range map[string]string{"printable": term.Printable(text), "oneLine": term.OneLine(text), "json": strings.ReplaceAll(string(term.PrintableJSON([]byte(text))), "\n", "")} {
			require.True(t, utf8.ValidString(shown), name)
			require.Equal(t, -1, strings.IndexFunc(shown, func(r rune) bool { return !unicode.IsGraphic(r) }), "%s: %q", name, shown)
		}
		require.LessOrEqual(t, utf8.RuneCountInString(term.Cut(term.Printable(text), columns)), utf8.RuneCountInString(term.Printable(text))+1)
		if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
			return
		}
		require.Equal(t, meaning(t, text), meaning(t, string(term.PrintableJSON([]byte(text)))))
	})
}

// meaning is what JSON says; its numbers are of any size.
func meaning(t *testing.T, text string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	return v
}

func TestDurationsAreShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0ms", 999 * time.Millisecond: "999ms", 1500 * time.Millisecond: "1.5s", 12345 * time.Millisecond: "12s",
		125 * time.Second: "2m5s", time.Hour: "1h", 3*time.Hour + 5*time.Minute: "3h5m", 7 * 24 * time.Hour: "7d",
	} {
		require.Equal(t, want, term.Short(d))
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 5 * time.Minute: "5m", 10 * time.Minute: "10m", 168 * time.Hour: "168h", time.Hour + time.Second: "1h0m1s",
		20 * time.Second: "20s", 100 * time.Millisecond: "100ms",
	} {
		require.Equal(t, want, term.Exact(d))
	}
}

func TestLongLinesBreakBetweenWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text    string
		columns int
		want    []string
	}{
		{"one two", 0, []string{"one two"}},
		{"no room for the words", 19, []string{"no room for the words"}},
		{"exactly twenty wide, and more", 20, []string{"exactly twenty wide,", "and more"}},
		{"a word of-more-than-twenty-columns stays whole", 20, []string{"a word", "of-more-than-twenty-columns", "stays whole"}},
		{"漢字は二桁 漢字は二桁 x", 20, []string{"漢字は二桁", "漢字は二桁 x"}},
		{"", 20, []string{""}},
	} {
		require.Equal(t, c.want, term.Wrap(c.text, c.columns), c.text)
	}
}
