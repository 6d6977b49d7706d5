package codec_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/codec"
)

type inner struct {
	Deep string `json:"deep,omitempty"`
}

type everything struct {
	inner
	Name    string            `json:"name"`
	Count   int64             `json:"count,string"`
	Empty   int               `json:"empty,omitempty"`
	Zero    time.Time         `json:"zero,omitzero"`
	At      time.Time         `json:"at"`
	Wait    time.Duration     `json:"wait"`
	Bytes   []byte            `json:"bytes"`
	Hash    [2]byte           `json:"hash"`
	Nil     []string          `json:"nil"`
	NilMap  map[string]int    `json:"nil_map"`
	Number  json.Number       `json:"number"`
	Numbers map[string]any    `json:"numbers"`
	Raw     json.RawMessage   `json:"raw"`
	Value   jsontext.Value    `json:"value"`
	Custom  shout             `json:"custom"`
	Keys    map[shout]float64 `json:"keys"`
	Skipped string            `json:"-"`
	hidden  string
}

// shout is text in capitals.
type shout string

func (s shout) MarshalText() ([]byte, error) { return []byte(strings.ToUpper(string(s))), nil }
func (s *shout) UnmarshalText(text []byte) error {
	*s = shout(strings.ToLower(string(text)))
	return nil
}

func TestValuesAreEncodedLikeEncodingJSON(t *testing.T) {
	t.Parallel()
	v := everything{
		inner: inner{Deep: "d"}, Name: "né", Count: math.MaxInt64, At: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC),
		Wait: time.Second, Bytes: []byte{1, 2, 255}, Hash: [2]byte{3, 4}, Number: "12345678901234567890.10",
		Numbers: map[string]any{"z": json.Number("1e300"), "a": []any{1.5, math.Copysign(0, -1), 1e21, 1e-7}, "n": nil},
		Raw:     json.RawMessage(`{"n":123456789012345678901234567890,"s":"\u00e9\/"}`), Value: jsontext.Value(`[1.0]`),
		Custom: "hi", Keys: map[shout]float64{"b": 1, "a": 2}, Skipped: "x", hidden: "y",
	}
	want, err := json.Marshal(v)
	require.NoError(t, err)
	got, err := codec.Encode(v)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))

	var decoded, expected everything
	require.NoError(t, json.Unmarshal(want, &expected))
	require.NoError(t, codec.Decode(got, &decoded))
	require.Equal(t, expected, decoded)
}

func TestPlainValuesAreEncodedLikeEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, v := range []any{nil, true, 1, "a", 1.5, 1e21, float32(0.1), json.Number(""), json.Number("7.0"), []int(nil), []int{},
		map[string]int(nil), struct{}{}, struct{ a int }{1}, (*int)(nil), new(3), []json.Number{"1", "2e5"}, [2]bool{true},
		struct {
			A int `json:"a,omitempty,unknown"`
		}{1}} {
		want, err := json.Marshal(v)
		require.NoError(t, err)
		got, err := codec.Encode(v)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
}

func TestNumbersOfEncodingJSONAreDecodedAsWritten(t *testing.T) {
	t.Parallel()
	var v struct{ A, B, C, D json.Number }
	require.NoError(t, codec.Decode([]byte(`{"A":12345678901234567890.10,"B":1e400,"C":"7","D":null}`), &v))
	require.Equal(t, json.Number("12345678901234567890.10"), v.A)
	require.Equal(t, json.Number("1e400"), v.B)
	require.Equal(t, json.Number("7"), v.C)
	require.Empty(t, v.D)
	require.Error(t, codec.Decode([]byte(`{"A":"x"}`), &v))
	_, err := codec.Encode(json.Number("x"))
	require.Error(t, err)
}

func TestHTMLIsNotEscaped(t *testing.T) {
	t.Parallel()
	got, err := codec.Encode("<a href='x'>&amp;</a>\u2028")
	require.NoError(t, err)
	require.Equal(t, "\"<a href='x'>&amp;</a>\u2028\"", string(got))
}

// level is a number of many that share a name.
type level int

func (level) MarshalText() ([]byte, error) { return []byte("level"), nil }

type broken struct{}

var errBroken = errors.New("broken on purpose")

func (broken) MarshalJSON() ([]byte, error)  { return nil, errBroken }
func (*broken) UnmarshalJSON(b []byte) error { return errBroken }

type loop struct{ Next *loop }

func TestWhatCannotBeEncodedIsRefused(t *testing.T) {
	t.Parallel()
	cycle := &loop{}
	cycle.Next = cycle
	for want, v := range map[string]any{
		`encode string: invalid UTF-8 within ""`:                                        "a\xff",
		`encode map[string]int: invalid UTF-8 within ""`:                                map[string]int{"a\xff": 1},
		`encode codec_test.inner: invalid UTF-8 within "/deep"`:                         inner{Deep: "\xc3"},
		`encode []interface {}: invalid UTF-8 within "/1/k"`:                            []any{1, map[string]any{"k": "\xff"}},
		`encode map[codec_test.level]int: duplicate object member name within "/level"`: map[level]int{1: 1, 2: 2},
		`duplicate object member name within "/0/a"`:                                    []json.RawMessage{json.RawMessage(`{"a":1,"a":2}`)},
		`encode chan int: json: unsupported type: chan int`:                             make(chan int),
		`encode float64: json: unsupported value: NaN`:                                  math.NaN(),
		`encode codec_test.broken: json: error calling MarshalJSON for type `:           broken{},
		`encode codec_test.loop: json: unsupported value: encountered a cycle`:          cycle,
		`unexpected end at byte 0`:                                                      json.RawMessage{},
		`invalid character '}' at start of value at byte 5`:                             json.RawMessage(`{"a":}`),
		`invalid character '2' after top-level value at byte `:                          json.RawMessage(`1 2`),
		`invalid UTF-8`: json.RawMessage("\"\xff\""),
	} {
		_, err := codec.Encode(v)
		require.ErrorContains(t, err, want, want)
	}
	_, err := codec.Encode(broken{})
	require.ErrorIs(t, err, errBroken)
}

func TestWhatCannotBeDecodedIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		data string
		into any
		want string
	}{
		{``, new(inner), `decode into *codec_test.inner: unexpected end at byte 0`},
		{`{"deep":"a"} {}`, new(inner), `decode into *codec_test.inner: invalid character '{' after top-level value at byte 13`},
		{`{"deep":"a"`, new(inner), `decode into *codec_test.inner: unexpected end at byte 11`},
		{`{"deep":"a","deep":"b"}`, new(inner), `decode into *codec_test.inner: duplicate key "deep" at byte 12`},
		{`{"x":{"y":1,"y":2}}`, new(inner), `decode into *codec_test.inner: duplicate key "y" at byte 12`},
		{`{"deep":"a","DEEP":"b"}`, new(inner), `decode into *codec_test.inner: duplicate object member name`},
		{"{\"deep\":\"\xff\"}", new(inner), `decode into *codec_test.inner: invalid UTF-8 at byte 9`},
		{`{"deep":"\ud800"}`, new(inner), `decode into *codec_test.inner: invalid surrogate pair`},
		{`{"deep":1}`, new(inner), `decode into *codec_test.inner: json: cannot unmarshal number into Go struct field inner.deep of type string`},
		{`1.5`, new(int), `decode into *int: json: cannot unmarshal number 1.5 into Go value of type int`},
		{`{}`, new(broken), `decode into *codec_test.broken: broken on purpose`},
		{`{}`, inner{}, `decode into codec_test.inner: json: Unmarshal(non-pointer codec_test.inner)`},
		{`{}`, nil, `decode into <nil>: json: Unmarshal(nil)`},
		{`{}`, (*json.RawMessage)(nil), `json: Unmarshal(nil *`},
		{``, new(json.RawMessage), `unexpected end at byte 0`},
		{`{"a":1`, new(json.RawMessage), `unexpected end at byte 6`},
		{`{} 1`, new(jsontext.Value), `invalid character '1' after top-level value at byte 3`},
	} {
		require.ErrorContains(t, codec.Decode([]byte(tt.data), tt.into), tt.want, tt.data)
	}
}

func TestRawMessagesPassAsWritten(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`null`, `{}`, `123456789012345678901234567890`, `1.0e+0`, `-0.0`, `1e99999`, `{ "b" : 1.50,` + "\n" + `"a":[ ] }`,
		`"\u0061\/<>&"`, `{"a":1,"a":2}`, `"\ud800"`, `{"é":"🐙"}`,
	} {
		for _, outer := range []string{text, " \r\n\t" + text + "\n"} {
			for _, v := range []any{json.RawMessage(outer), jsontext.Value(outer)} {
				got, err := codec.Encode(v)
				require.NoError(t, err, text)
				require.Equal(t, text, string(got))
			}
			var raw json.RawMessage
			require.NoError(t, codec.Decode([]byte(outer), &raw), text)
			require.Equal(t, text, string(raw))
			var value jsontext.Value
			require.NoError(t, codec.Decode([]byte(outer), &value), text)
			require.Equal(t, text, string(value))
		}
	}
	got, err := codec.Encode(json.RawMessage(nil))
	require.NoError(t, err)
	require.Equal(t, "null", string(got))
}

func TestRawMessagesShareNoMemory(t *testing.T) {
	t.Parallel()
	in := json.RawMessage(`{"a":1}`)
	encoded, err := codec.Encode(in)
	require.NoError(t, err)
	var out json.RawMessage
	require.NoError(t, codec.Decode(encoded, &out))
	clear(in)
	clear(encoded)
	require.Equal(t, `{"a":1}`, string(out))
}

// thumb is like what people send.
type thumb struct {
	URL    string   `json:"url"`
	Width  int      `json:"width"`
	Height int      `json:"height"`
	Tags   []string `json:"tags"`
}

var aThumb = thumb{"https://example.com/pictures/2026/11/a-picture-with-a-long-name.png", 640, 480, []string{"sea", "sky"}}

func BenchmarkEncode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Encode(aThumb); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	text, err := codec.Encode(aThumb)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		var t thumb
		if err := codec.Decode(text, &t); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzDecode: whatever is stored as arguments or a result, it fits or is refused; what fits is written and read again the same.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"n":1,"s":"x","list":[{"n":2}],"any":{"k":[1.5,null]}}`, `{"n":1,"N":2}`, `{"n":1e400}`, `{"s":"\ud800"}`, "{\"s\":\"\xff\"}", `[]`, ``, `null`,
		`{} {}`, `{"n":9223372036854775808}`, strings.Repeat(`{"next":`, 2000), strings.Repeat("[", 20_000), `{"b":"aGk=","d":"2026-11-25T00:00:00Z"}`} {
		f.Add([]byte(seed))
	}
	type value struct {
		N    int64     `json:"n"`
		S    string    `json:"s"`
		List []value   `json:"list"`
		Next *value    `json:"next"`
		Any  any       `json:"any"`
		B    []byte    `json:"b"`
		D    time.Time `json:"d"`
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var raw json.RawMessage
		if codec.Decode(data, &raw) == nil {
			require.True(t, json.Valid(raw))
		}
		var v, again value
		if err := codec.Decode(data, &v); err != nil {
			require.ErrorContains(t, err, "decode into ")
			return
		}
		require.True(t, json.Valid(data))
		written, err := codec.Encode(v)
		if err != nil {
			return // a time of a year beyond 9999
		}
		require.NoError(t, codec.Decode(written, &again))
		rewritten, err := codec.Encode(again)
		require.NoError(t, err)
		require.Equal(t, string(written), string(rewritten))
	})
}
