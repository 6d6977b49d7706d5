package codec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/testkit"
)

func TestArgumentsHaveOneForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{" null ", `null`},
		{"\t[ true , false ]\r\n", `[true,false]`},
		{`{ }`, `{}`},
		{`""`, `""`},
		{`{"b":1,"a":{"d":2,"c":[{"f":3,"e":4}]}}`, `{"a":{"c":[{"e":4,"f":3}],"d":2},"b":1}`},
		{`{"aa":1,"a":2,"":3,"B":4,"b":5}`, `{"":3,"B":4,"a":2,"aa":1,"b":5}`},
		{`{"\u0061":1}`, `{"a":1}`},
		{`"\u003c\u0026\u003E \/ \u00E9 \u2028 \uD83D\uDC19"`, "\"<&> / é \u2028 🐙\""},
		{`"\u0008\u0009\u000a\u000C\u000d\u0022\u005C\u001F\u007f"`, `"\b\t\n\f\r\"\\\u001f` + "\x7f\""},
		{`{"Ａ":1,"🐙":2}`, `{"🐙":2,"Ａ":1}`}, // UTF-16 code units: D83D sorts before FF21
		{`{"n":"1.0","1.0":"-0"}`, `{"1.0":"-0","n":"1.0"}`},
		{`["\\",1.0,"\"1.0",1.0]`, `["\\",1,"\"1.0",1]`},
	} {
		got, err := codec.Canonical([]byte(tt.in))
		require.NoError(t, err, tt.in)
		require.Equal(t, tt.want, string(got), tt.in)
	}
}

func TestAmbiguousArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"", "empty, want one JSON value such as {}"},
		{" \n", "empty, want one JSON value such as {}"},
		{`{"b":0, "a":1, "a":2}`, `duplicate key "a" at byte 15`},
		{`[{"x":{"\u0061":1,"a":2}}]`, `duplicate key "a" at byte 18`},
		{`{"` + strings.Repeat("k", 100) + `":1,"` + strings.Repeat("k", 100) + `":2}`,
			`duplicate key "` + strings.Repeat("k", 40) + `" at byte 106`},
		{"{\"a\":\"b\xff\"}", `invalid UTF-8 at byte 7`},
		{"{\"\xc3\":1}", `invalid UTF-8 at byte 2`},
		{"\"\xed\xa0\x80\"", `invalid UTF-8 at byte 1`}, // a surrogate, encoded as if it were a character
		{`["\ud800"]`, "invalid surrogate pair `\\ud800\"]` in string at byte 2"},
		{`"\ud800\u0041"`, "invalid surrogate pair `\\ud800\\u0041` in string at byte 1"},
		{`"\udc00"`, "invalid surrogate pair `\\udc00\"` in string at byte 1"},
		{`{} {}`, `invalid character '{' after top-level value at byte 3`},
		{`1 2`, `invalid character '2' after top-level value at byte 2`},
		{`01`, `invalid character '1' after top-level value at byte 1`},
		{"\ufeff{}", `invalid character '\ufeff' at start of value at byte 0`},
		{`{"a":1`, `unexpected end at byte 6`},
		{`"\`, `unexpected end at byte 1`},
		{`[1,]`, `invalid character ']' at start of value at byte 3`},
		{`{a:1}`, `invalid character 'a' at start of string (expecting '"') at byte 1`},
		{`[NaN]`, `invalid character 'N' at start of value at byte 1`},
		{`+1`, `invalid character '+' at start of value at byte 0`},
		{"\"\t\"", `invalid character '\t' in string (expecting non-control character) at byte 1`},
		{`{"b": 1, "a": [1, -12e9999]}`, `number with an exponent beyond ±9999 at byte 18`},
	} {
		_, err := codec.Canonical([]byte(tt.in))
		require.EqualError(t, err, "arguments: "+tt.want, "%q", tt.in)
	}
}

func TestNestingOfArgumentsIsBounded(t *testing.T) {
	t.Parallel()
	nested := func(depth int) []byte {
		return []byte(strings.Repeat(`{"k":[`, depth/2) + `"]}{["` + strings.Repeat(`]}`, depth/2))
	}
	_, err := codec.Canonical(nested(1000))
	require.NoError(t, err)
	_, err = codec.Canonical(nested(1002))
	require.EqualError(t, err, "arguments: nested deeper than 1000 at byte 3000")
	_, err = codec.Canonical(bytes.Repeat([]byte("["), 10<<20))
	require.EqualError(t, err, "arguments: nested deeper than 1000 at byte 1000")
	_, err = codec.Canonical([]byte(`"` + strings.Repeat("[", 2000) + `\"` + strings.Repeat("[", 2000) + `"`))
	require.NoError(t, err)
	_, err = codec.Canonical([]byte("[" + strings.Repeat("[{}],", 2000) + "[]]"))
	require.NoError(t, err)
}

// Each of these takes milliseconds; a step that is quadratic in the size would take many seconds.
func TestNoShapeOfArgumentsIsSlow(t *testing.T) {
	const size = 1 << 17
	keys := func(format string) string {
		var text strings.Builder
		for i := size / len(fmt.Sprintf(format, 0)); i > 0; i-- {
			fmt.Fprintf(&text, format, i)
		}
		return "{" + strings.TrimSuffix(text.String(), ",") + "}"
	}
	list := func(item string) string { return "[" + strings.Repeat(item+",", size/len(item)) + "0]" }
	for name, in := range map[string]string{
		"keys backwards":      keys(`"%08d":1,`),
		"keys alike":          keys(`"` + strings.Repeat("k", 1000) + `%08d":1,`),
		"keys escaped":        keys(`"\u0061%08d":1,`),
		"depth, out of order": strings.Repeat(`{"b":`, 1000) + `"` + strings.Repeat("x", size/16) + `"` + strings.Repeat(`,"a":0}`, 1000),
		"objects":             list(`{"b":1,"a":2}`),
		"numbers":             list(`1e39`),
		"fractions":           list(`0.000000000012345e-3`),
		"long number":         strings.Repeat("1", size),
		"long fraction":       "0." + strings.Repeat("0", size) + "1",
		"long power":          "1e" + strings.Repeat("9", size),
		"zeros of a power":    "1e" + strings.Repeat("0", size) + "1",
		"escapes":             `"` + strings.Repeat(`\u00e9\\\"`, size/10) + `"`,
		"surrogate pairs":     `"` + strings.Repeat(`\ud83d\udc19`, size/12) + `"`,
		"no end":              `"` + strings.Repeat(`\\`, size/2),
		"white space":         strings.Repeat(" ", size) + "1" + strings.Repeat("\n", size),
	} {
		start := time.Now()
		_, err := codec.Canonical([]byte(in))
		require.Less(t, time.Since(start), testkit.Within(5*time.Second), name)
		if err != nil {
			require.Less(t, len(err.Error()), 200, name)
		}
	}
}

func TestCanonicalLeavesItsInputAlone(t *testing.T) {
	t.Parallel()
	raw := []byte(`{"b":1.0,"a":"\u0061"}`)
	before := string(raw)
	got, err := codec.Canonical(raw)
	require.NoError(t, err)
	clear(got)
	require.Equal(t, before, string(raw))
}

func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"b":[1.0,-0,1e400,0.001],"a":{"\u0061":"\ud83d\udc19\/"}}`, `{"a":1,"a":2}`,
		`"\ud800"`, "\xff", `[1e10000]`, `[[[[`, `"\`, `-`, `1e`, `9007199254740993`, ` {"ü" : null } `, `{"":0,"":0}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		canonical, err := codec.Canonical(raw)
		if err != nil {
			require.Less(t, len(err.Error()), 600) // forty characters of a key, each escaped
			return
		}
		require.True(t, json.Valid(raw))
		require.True(t, json.Valid(canonical))
		again, err := codec.Canonical(canonical)
		require.NoError(t, err)
		require.Equal(t, string(canonical), string(again))
		requireSameValue(t, raw, canonical)
	})
}

func BenchmarkCanonical(b *testing.B) {
	small := `{"width":320,"height":240.5,"page":{"to":3,"from":1},"tags":["b","a"],"name":"Größe \u00e9"}`
	for name, text := range map[string]string{
		"small":  small,
		"1MiB":   "[" + strings.Repeat(small+",", 1<<20/len(small)) + "0]",
		"string": `"` + strings.Repeat("x", 1<<20) + `"`,
	} {
		raw := []byte(text)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.Canonical(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
