package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzText: nothing of others' text acts on a terminal, and JSON keeps its meaning.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "plain", "\x1b[2J\x07\x00", "a\r\nb\tc", "\xff\xc3", "\u202e\u2066\ufeff", "é世界🐙", "\U000e0041", `{"a":"\u001b` + "\u009b" + `"}`, "[\t1,\r\n2 ]", "\"\x7f\U000e0001\""} {
		f.Add(seed, 10)
	}
	f.Fuzz(func(t *testing.T, text string, columns int) {
		for name, shown := range map[string]string{"printable": printable(text), "oneLine": oneLine(text), "json": strings.ReplaceAll(string(printableJSON([]byte(text))), "\n", "")} {
			require.True(t, utf8.ValidString(shown), name)
			require.Equal(t, -1, strings.IndexFunc(shown, func(r rune) bool { return !unicode.IsGraphic(r) }), "%s: %q", name, shown)
		}
		require.LessOrEqual(t, utf8.RuneCountInString(cut(printable(text), columns)), utf8.RuneCountInString(printable(text))+1)
		if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
			return
		}
		require.Equal(t, meaning(t, text), meaning(t, string(printableJSON([]byte(text)))))
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
