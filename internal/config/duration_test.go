package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/config"
)

func TestDurationsAreGoDurationsOrSeconds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "0.0": 0, "30": 30 * time.Second, "1.5": 1500 * time.Millisecond, "1.5s": 1500 * time.Millisecond,
		".5": 500 * time.Millisecond, "1.": time.Second, "100ms": 100 * time.Millisecond, "1h30m": 90 * time.Minute,
		"168h": 7 * 24 * time.Hour, "1ns": 1, "0.000000001": 1, "+5s": 5 * time.Second, "0.1": 100 * time.Millisecond,
		"9223372036": 9223372036 * time.Second,
	} {
		d, err := config.ParseDuration(text)
		require.NoError(t, err, text)
		require.Equal(t, want, d, text)
	}
}

func TestWhatIsNoDurationIsRefusedWithAdvice(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " ", ".", "s", "-", "-1", "-1s", "5 s", " 5s", "5min", "1h30", "1d", "1,5s", "nan", "inf", "+Inf",
		"1e400", "1e3", "0x10", "9223372037", "9999999h", "0.1ns", "0.0000000001", "1..5", "1.2.3", "--5s", "５s"} {
		d, err := config.ParseDuration(text)
		require.ErrorContains(t, err, " is not a duration like 1.5s, 5m or 168h, or a number of seconds", text)
		require.Zero(t, d)
	}
	_, err := config.ParseDuration("5 min")
	require.EqualError(t, err, `"5 min" is not a duration like 1.5s, 5m or 168h, or a number of seconds`)
}

func FuzzParseDuration(f *testing.F) {
	for _, text := range []string{"1.5", "168h", "-1s", "1h30", "9223372036.854775807", "0.0000000001"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := config.ParseDuration(text)
		if err != nil {
			require.Zero(t, d)
			return
		}
		require.GreaterOrEqual(t, d, time.Duration(0))
		again, err := config.ParseDuration(d.String())
		require.NoError(t, err)
		require.Equal(t, d, again)
	})
}
