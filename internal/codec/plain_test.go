package codec_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/codec"
)

func TestPlainNumbersAreThoseThatPeopleWrite(t *testing.T) {
	for canonical, plain := range map[string]string{
		"1.999e+1": "19.99", "5e-1": "0.5", "1": "1", "-1.25e+1": "-12.5", "1e-3": "0.001", "0": "0", "100": "100",
		`{"price":1.999e+1,"text":"1e+5 \"5e-1\"","list":[5e-1,-5e-2]}`: `{"price":19.99,"text":"1e+5 \"5e-1\"","list":[0.5,-0.05]}`,
		"1e-40":                                 "0." + strings.Repeat("0", 39) + "1",
		"1e-41":                                 "1e-41",
		"1e+40":                                 "1e+40",
		"1.2e+40":                               "1.2e+40",
		"1." + strings.Repeat("1", 39) + "e+38": strings.Repeat("1", 39) + ".1",
		"1." + strings.Repeat("1", 40) + "e+38": "1." + strings.Repeat("1", 40) + "e+38",
		`"e+"`:                                  `"e+"`,
	} {
		require.Equal(t, plain, string(codec.Plain([]byte(canonical))))
	}
}

// A plain number is the same number, has no exponent where 40 digits do, and leads to the same ref_id.
func FuzzPlain(f *testing.F) {
	for _, text := range []string{"19.99", "0.5", "1.0", "1e400", "-0", `{"a":[1e-7,"e+"]}`, "123456789012345678901234567890.125", "1e-9999"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		canonical, err := codec.Canonical(raw)
		if err != nil {
			return
		}
		plain := codec.Plain(canonical)
		require.True(t, json.Valid(plain))
		again, err := codec.Canonical(plain)
		require.NoError(t, err)
		require.Equal(t, string(canonical), string(again))
		number, isNumber := new(big.Rat).SetString(string(plain))
		if isNumber && strings.ContainsAny(string(plain), "e") && len(plain) < 100 {
			exact := strings.TrimRight(number.FloatString(41), "0")
			_, fraction, _ := strings.Cut(exact, ".")
			whole := strings.TrimLeft(strings.TrimPrefix(strings.Split(exact, ".")[0], "-"), "0")
			if back, ok := new(big.Rat).SetString(exact); ok && back.Cmp(number) == 0 {
				require.Greater(t, len(whole)+len(fraction), 40, "%s could be plain", plain)
			}
		}
	})
}
