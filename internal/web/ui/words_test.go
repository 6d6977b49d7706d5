package ui

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDurationsAreShortAndNeverRoundedUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0 s", time.Microsecond: "1 ms", 12 * time.Millisecond: "12 ms", 999*time.Millisecond + 999: "999 ms",
		time.Second: "1 s", 1550 * time.Millisecond: "1.5 s", 59999 * time.Millisecond: "59.9 s", time.Minute: "1 min",
		125 * time.Second: "2 min 5 s", 3*time.Hour + 4*time.Minute + 59*time.Second: "3 h 4 min", 49 * time.Hour: "2 d 1 h",
		-time.Minute: "−1 min",
	} {
		require.Equal(t, want, duration(d), d)
	}
}

func TestLargeNumbersHaveTheirThousandsApart(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -100: "-100", -1000: "-1,000"} {
		require.Equal(t, want, count(n))
	}
}

func TestSharesAreWholeOnlyWhenTheyAre(t *testing.T) {
	t.Parallel()
	for share, want := range map[float64]string{0: "0 %", 1: "100 %", .5: "50 %", .9999: ">99.9 %", .995: "99.5 %", .004: "0.4 %", .0001: "<0.1 %"} {
		require.Equal(t, want, percent(share), share)
	}
}

func TestJSONIsIndentedToTheLetter(t *testing.T) {
	t.Parallel()
	require.Equal(t, "{\n  \"a\": 9007199254740993.10,\n  \"b\": \"\\u0041\"\n}", indented([]byte(`{"a":9007199254740993.10,"b":"\u0041"}`)))
	require.Equal(t, "{not json", indented([]byte("{not json")))
}
