package monitor_test

import (
	"math"
	"testing"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/stretchr/testify/require"
)

func histogram(durations ...time.Duration) (h monitor.Histogram) {
	for _, d := range durations {
		h.Buckets[monitor.HistogramBucket(d)]++
		h.Sum += d
	}
	return h
}

func TestEveryDurationIsInTheBucketWhoseBoundsHoldIt(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{-1, 0, 1, time.Millisecond, time.Millisecond + 1, 70 * time.Millisecond, time.Second, time.Hour,
		time.Hour + 1, math.MaxInt64} {
		bucket := monitor.HistogramBucket(d)
		bound, bounded := monitor.HistogramBound(bucket)
		require.True(t, !bounded || d <= bound, "%v in bucket %d", d, bucket)
		below, ok := monitor.HistogramBound(bucket - 1)
		require.True(t, !ok || d > below, "%v in bucket %d", d, bucket)
	}
	_, bounded := monitor.HistogramBound(monitor.HistogramBuckets - 1)
	require.False(t, bounded)
}

func TestQuantilesLieInTheBucketOfTheirRank(t *testing.T) {
	t.Parallel()
	_, ok := monitor.Histogram{}.Quantile(0.5)
	require.False(t, ok, "there is none of nothing")

	var many []time.Duration
	for range 90 {
		many = append(many, 200*time.Millisecond)
	}
	for range 10 {
		many = append(many, 4*time.Second)
	}
	h := histogram(many...)
	quantile := func(q float64) time.Duration {
		d, ok := h.Quantile(q)
		require.True(t, ok)
		return d
	}
	require.Equal(t, 100*time.Millisecond+150*time.Millisecond*50/90, quantile(0.5), "evenly spread between 100 and 250 ms")
	require.Equal(t, 250*time.Millisecond, quantile(0.9))
	require.Equal(t, 3750*time.Millisecond, quantile(0.95))
	require.Equal(t, 5*time.Second, quantile(1))
	require.Equal(t, quantile(1), quantile(7), "a share is at most 1")
	require.Equal(t, 100*time.Millisecond, quantile(-1))

	h = histogram(time.Hour, 100*time.Hour)
	require.Equal(t, time.Hour, quantile(1), "more is not known of what is above all bounds")
}

func TestHistogramsAddUp(t *testing.T) {
	t.Parallel()
	h := histogram(time.Second, 2*time.Hour)
	h.Add(histogram(time.Second, time.Millisecond))
	require.Equal(t, histogram(time.Second, time.Second, time.Millisecond, 2*time.Hour), h)
	require.EqualValues(t, 4, h.Count())
}

func TestRatesOfNothingAreUnknown(t *testing.T) {
	t.Parallel()
	_, known := monitor.CallCounts{Misses: 3, Cancelled: 2}.SuccessRate()
	require.False(t, known)
	_, known = monitor.CallCounts{Complete: 3}.HitRatio()
	require.False(t, known)

	c := monitor.CallCounts{Misses: 1, Joined: 1, Hits: 2, Complete: 3, Failed: 1, Cancelled: 5}
	rate, known := c.SuccessRate()
	require.True(t, known)
	require.Equal(t, 0.75, rate)
	ratio, known := c.HitRatio()
	require.True(t, known)
	require.Equal(t, 0.75, ratio)
	require.EqualValues(t, 9, c.Ended())
	c.Add(c)
	require.Equal(t, monitor.CallCounts{Misses: 2, Joined: 2, Hits: 4, Complete: 6, Failed: 2, Cancelled: 10}, c)
}
