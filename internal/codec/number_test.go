package codec_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/codec"
)

func TestNumbersAreExactDecimals(t *testing.T) {
	t.Parallel()
	ones40, ones41, ones10k := strings.Repeat("1", 40), strings.Repeat("1", 41), strings.Repeat("1", 10000)
	for want, spellings := range map[string][]string{
		"0":        {"0", "-0", "0.0", "-0.000", "0e0", "0e99999", "-0E-99999", "0.0e+123456789012345678901234567890"},
		"1":        {"1", "1.0", "1e0", "1E+0", "1e-0", "10e-1", "0.1e1", "0.01e2", "100e-2", "1e00000000000000000000000"},
		"-1":       {"-1", "-1.0", "-10e-1"},
		"1000":     {"1000", "1e3", "1E3", "1.000e3", "0.001e6", "1000.000"},
		"1200":     {"1200", "1.2e3", "12e2"},
		"5e-1":     {"0.5", "5e-1", "0.50", "50e-2", "0.05e1", "5e-00000000000000000000000001"},
		"-5e-1":    {"-0.5", "-5e-1"},
		"1.25e+1":  {"12.5", "1.25e1", "1.25E+1", "125e-1", "12.50"},
		"1.001e+2": {"100.1", "1001e-1"},
		"1e-9999":  {"1e-9999", "0.1e-9998", "10e-10000"},
		"1e+9999":  {"1e9999", "0.1e10000", "10e9998"},

		"-1.2e+9999": {"-12e9998", "-0.12e10000"},
		// beyond float64, which would merge them or make them infinite
		"9007199254740992": {"9007199254740992", "9007199254740992.0"},
		"9007199254740993": {"9007199254740993", "9007199254740993.0", "900719925474099.3e1"},
		"1e+400":           {"1e400", "10e399"},
		"1e+500":           {"1e500"},
		"1e-400":           {"1e-400"},
		// 40 digits are plain, 41 are not
		ones40:                           {ones40, ones40 + ".0", ones40 + "e0", "1." + ones40[1:] + "e39"},
		"1." + ones40 + "e+40":           {ones41, ones41 + ".0", "1." + ones40 + "e40"},
		"1" + strings.Repeat("0", 39):    {"1e39", "10e38", "0.1e40", "1" + strings.Repeat("0", 39)},
		"1e+40":                          {"1e40", "1" + strings.Repeat("0", 40)},
		"-" + ones40:                     {"-" + ones40},
		"1." + ones40[1:] + "e+38":       {ones40 + "e-1"},
		"1." + ones10k[1:] + "e+9999":    {ones10k},
		"1." + ones10k + "e+0":           {"1." + ones10k},
		"1." + ones10k[1:] + "e-9999":    {"0." + strings.Repeat("0", 9998) + ones10k},
		"7":                              {"0." + strings.Repeat("0", 20000) + "7e20001", "7" + strings.Repeat("0", 20000) + "e-20000"},
		"1.2345678901234567890123456e+1": {"12.345678901234567890123456"},
	} {
		for _, spelling := range append(spellings, want) {
			got, err := codec.Canonical([]byte(spelling))
			require.NoError(t, err, spelling)
			require.Equal(t, want, string(got), spelling)
		}
	}
}

func TestExponentsBeyond9999AreRefused(t *testing.T) {
	t.Parallel()
	for _, spelling := range []string{
		"1e10000", "10e9999", "-1e10000", "1e-10000", "0.1e-9999", "1" + strings.Repeat("0", 10000),
		strings.Repeat("1", 10001), "0." + strings.Repeat("0", 9999) + "1", "1e2147483648", "1e-2147483649",
		"1e18446744073709551616", "1e-18446744073709551616", "1e99999999999999999999999999999999999999",
	} {
		_, err := codec.Canonical([]byte(spelling))
		require.EqualError(t, err, "arguments: number with an exponent beyond ±9999 at byte 0", spelling)
	}
}
