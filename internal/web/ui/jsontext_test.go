package ui

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestNumbersAndStringsStayAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	text, cut := indentedTo([]byte(`{"big":12345678901234567890.50,"exp":1.2E+400,"s":"a, {\"b\": 1}\\","u":"\u0041\ud800","e":[ ],"o":{},"l":[1,[true,null]]}`), 1000)
	require.False(t, cut)
	require.Equal(t, `{
  "big": 12345678901234567890.50,
  "exp": 1.2E+400,
  "s": "a, {\"b\": 1}\\",
  "u": "\u0041\ud800",
  "e": [],
  "o": {},
  "l": [
    1,
    [
      true,
      null
    ]
  ]
}`, text)
}

func TestALongTextIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for n := range 5 {
		text, cut := indentedTo([]byte(`["`+strings.Repeat("x", n)+strings.Repeat("€", 1000)+`"]`), 100)
		require.True(t, cut)
		require.True(t, utf8.ValidString(text))
		require.LessOrEqual(t, len(text), 100+len("…"))
	}
	shown := newJSONText([]byte(`"` + strings.Repeat("x", 1<<20) + `"`))
	require.True(t, shown.Cut)
	require.Equal(t, 1<<20+2, shown.Size)
	require.Equal(t, maxShown+len("…"), len(shown.Text))
}

// A result of 8 MiB may be nothing but brackets, and indented a thousand times as long.
func TestDeepNestingCostsNoMoreThanWhatIsShown(t *testing.T) { // not in parallel: it counts what is allocated
	deep := []byte(strings.Repeat("[", 4<<20) + strings.Repeat("]", 4<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	text, cut := indentedTo(deep, maxShown)
	runtime.ReadMemStats(&after)
	require.True(t, cut)
	require.LessOrEqual(t, len(text), maxShown+len("…"))
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

func FuzzIndentedJSONMeansTheSame(f *testing.F) {
	for _, text := range []string{`{"a":[1,2,{}],"b":"\"x\\"}`, `[]`, `"`, `{"a`, `]]`, `[1 ,2]`, "\"\xff\""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shown, cut := indentedTo([]byte(text), 1<<20)
		if cut || !json.Valid([]byte(text)) {
			return
		}
		var want, got strings.Builder
		for _, c := range []struct {
			text string
			out  *strings.Builder
		}{{text, &want}, {shown, &got}} {
			dec := json.NewDecoder(strings.NewReader(c.text))
			dec.UseNumber()
			for {
				token, err := dec.Token()
				if err != nil {
					break
				}
				c.out.WriteString(strings.ToValidUTF8(tokenText(token), "?") + " ")
			}
		}
		require.Equal(t, want.String(), got.String())
	})
}

func tokenText(token json.Token) string {
	text, err := json.Marshal(token)
	if err != nil {
		return token.(json.Delim).String()
	}
	return string(text)
}
