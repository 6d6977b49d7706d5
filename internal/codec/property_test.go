package codec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/refq/refq/internal/codec"
)

func TestSpellingOfArgumentsDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := drawValue(t, 3)
		one, other := spell(t, value), spell(t, value)
		canonical, err := codec.Canonical([]byte(one))
		require.NoError(t, err, one)
		same, err := codec.Canonical([]byte(other))
		require.NoError(t, err, other)
		require.Equal(t, string(canonical), string(same), "%s and %s", one, other)
		again, err := codec.Canonical(canonical)
		require.NoError(t, err)
		require.Equal(t, string(canonical), string(again))
		requireSameValue(t, []byte(one), canonical)
	})
}

func TestDifferentArgumentsStayDifferent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := drawValue(t, 3)
		changed := change(t, value)
		one, err := codec.Canonical([]byte(spell(t, value)))
		require.NoError(t, err)
		other, err := codec.Canonical([]byte(spell(t, changed)))
		require.NoError(t, err)
		require.NotEqual(t, string(one), string(other))
		require.NotEqual(t, codec.NewRef("n", "q", "f", 1, one), codec.NewRef("n", "q", "f", 1, other))
	})
}

// number is digits × 10^power; digits has no zero at either end.
type number struct {
	negative bool
	digits   string
	power    int
}

// drawValue draws nil, a bool, a number, a string, a list or an object.
func drawValue(t *rapid.T, depth int) any {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return number{rapid.Bool().Draw(t, "negative"), rapid.StringMatching(`[1-9]([0-9]{0,43}[1-9])?`).Draw(t, "digits"),
			rapid.IntRange(-60, 60).Draw(t, "power")}
	case 3:
		return rapid.String().Draw(t, "string")
	case 4:
		list := make([]any, rapid.IntRange(0, 4).Draw(t, "length"))
		for i := range list {
			list[i] = drawValue(t, depth-1)
		}
		return list
	}
	object := map[string]any{}
	for range rapid.IntRange(0, 5).Draw(t, "members") {
		object[rapid.String().Draw(t, "key")] = drawValue(t, depth-1)
	}
	return object
}

// change returns a value that differs from v in one place.
func change(t *rapid.T, v any) any {
	switch v := v.(type) {
	case bool:
		return !v
	case number:
		switch rapid.IntRange(0, 2).Draw(t, "change of number") {
		case 0:
			v.negative = !v.negative
		case 1:
			v.power++
		default:
			v.digits += "1"
		}
		return v
	case string:
		return v + "\x00"
	case []any:
		if len(v) == 0 {
			return []any{nil}
		}
		i := rapid.IntRange(0, len(v)-1).Draw(t, "element")
		changed := slices.Clone(v)
		changed[i] = change(t, v[i])
		return changed
	case map[string]any:
		if len(v) == 0 {
			return map[string]any{"": nil}
		}
		key := rapid.SampledFrom(slices.Sorted(maps.Keys(v))).Draw(t, "key")
		changed := maps.Clone(v)
		if rapid.Bool().Draw(t, "drop") {
			delete(changed, key)
		} else {
			changed[key] = change(t, v[key])
		}
		return changed
	}
	return false
}

// spell writes v as JSON in one of its many ways.
func spell(t *rapid.T, v any) string {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n", "\t\r\n  "})
	pad := func(text string) string { return space.Draw(t, "space") + text + space.Draw(t, "space") }
	switch v := v.(type) {
	case nil:
		return pad("null")
	case bool:
		return pad(fmt.Sprint(v))
	case number:
		return pad(spellNumber(t, v))
	case string:
		return pad(spellString(t, v))
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = spell(t, item)
		}
		return pad("[" + pad(strings.Join(items, ",")) + "]")
	case map[string]any:
		var members []string
		for _, key := range rapid.Permutation(slices.Sorted(maps.Keys(v))).Draw(t, "order") {
			members = append(members, pad(spellString(t, key))+":"+spell(t, v[key]))
		}
		return pad("{" + pad(strings.Join(members, ",")) + "}")
	}
	panic(fmt.Sprintf("no spelling of %T", v))
}

func spellNumber(t *rapid.T, n number) string {
	digits := strings.Repeat("0", rapid.IntRange(0, 3).Draw(t, "zeros before")) + n.digits
	zeros := rapid.IntRange(0, 3).Draw(t, "zeros behind")
	digits += strings.Repeat("0", zeros)
	point := rapid.IntRange(1, len(digits)).Draw(t, "point")
	whole, fraction := strings.TrimLeft(digits[:point], "0"), digits[point:]
	power := n.power - zeros + len(fraction)

	text := ""
	if n.negative {
		text = "-"
	}
	if text += whole; whole == "" {
		text += "0"
	}
	if fraction != "" {
		text += "." + fraction
	}
	if power == 0 && rapid.Bool().Draw(t, "without power") {
		return text
	}
	return text + rapid.SampledFrom([]string{"e", "E"}).Draw(t, "e") +
		fmt.Sprintf(rapid.SampledFrom([]string{"%d", "%+d", "%+05d"}).Draw(t, "format"), power)
}

func spellString(t *rapid.T, s string) string {
	var text strings.Builder
	text.WriteByte('"')
	for _, r := range s {
		short, isShort := map[rune]string{'"': `\"`, '\\': `\\`, '/': `\/`, '\b': `\b`, '\f': `\f`, '\n': `\n`,
			'\r': `\r`, '\t': `\t`}[r]
		mustEscape := r < ' ' || r == '"' || r == '\\'
		switch way := rapid.IntRange(0, 3).Draw(t, "way"); {
		case way == 0 && isShort:
			text.WriteString(short)
		case way == 1 || mustEscape:
			format := rapid.SampledFrom([]string{`\u%04x`, `\u%04X`}).Draw(t, "hex")
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&text, format, unit)
			}
		default:
			text.WriteRune(r)
		}
	}
	text.WriteByte('"')
	return text.String()
}

// requireSameValue compares two JSON texts without any code of ours: numbers as fractions, all else by encoding/json.
func requireSameValue(t require.TestingT, one, other []byte) {
	require.True(t, utf8.Valid(other))
	require.Equal(t, exactly(t, one), exactly(t, other), "%s and %s", one, other)
}

func exactly(t require.TestingT, text []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	require.NoError(t, decoder.Decode(&v))
	return withFractions(t, v)
}

func withFractions(t require.TestingT, v any) any {
	switch v := v.(type) {
	case json.Number:
		if strings.Trim(strings.FieldsFunc(v.String(), func(r rune) bool { return r == 'e' || r == 'E' })[0], "-0.") == "" {
			return "zero" // whatever its power, which big.Rat might not like
		}
		rat, ok := new(big.Rat).SetString(v.String())
		require.True(t, ok, v)
		return rat.RatString()
	case []any:
		for i := range v {
			v[i] = withFractions(t, v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = withFractions(t, v[key])
		}
	}
	return v
}
