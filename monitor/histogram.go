package monitor

import "time"

// histogramBounds are the upper bounds of the buckets, ascending. Stored minutes name buckets by their bound, so bounds
// may be added or taken away: what an older version stored under a bound that is gone is passed over.
var histogramBounds = [...]time.Duration{
	time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond,
	5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour,
}

// HistogramBuckets is how many buckets a [Histogram] has: the last one holds what is above all bounds.
const HistogramBuckets = len(histogramBounds) + 1

// Histogram counts durations in buckets. The zero value is empty; a Histogram is a plain value.
type Histogram struct {
	// Buckets counts the durations in each bucket alone: those at most [HistogramBound] of it, and above that of the one
	// before.
	Buckets [HistogramBuckets]int64
	// Sum is the sum of all durations. Zero where it was not kept, as in [Stats].
	Sum time.Duration
}

// HistogramBound returns the upper bound of a bucket, 0 first, and false for the last bucket, which has none.
func HistogramBound(bucket int) (time.Duration, bool) {
	if bucket < 0 || bucket >= len(histogramBounds) {
		return 0, false
	}
	return histogramBounds[bucket], true
}

// HistogramBucket returns the bucket that a duration belongs to.
func HistogramBucket(d time.Duration) int {
	for i, bound := range histogramBounds {
		if d <= bound {
			return i
		}
	}
	return len(histogramBounds)
}

// Count returns how many durations were counted.
func (h Histogram) Count() int64 {
	var n int64
	for _, b := range h.Buckets {
		n += b
	}
	return n
}

// Quantile estimates the duration that a share q (0 to 1) of all is at most; false when there are none. Inside a bucket
// it takes durations for evenly spread; of those above all bounds it knows only that bound.
func (h Histogram) Quantile(q float64) (time.Duration, bool) {
	all := h.Count()
	if all == 0 {
		return 0, false
	}
	rank := max(0, min(1, q)) * float64(all)
	below, lower := 0.0, time.Duration(0)
	for i, bound := range histogramBounds {
		here := float64(h.Buckets[i])
		if here > 0 && below+here >= rank {
			return lower + time.Duration(float64(bound-lower)*max(0, rank-below)/here), true
		}
		below, lower = below+here, bound
	}
	return lower, true
}

// Add adds what another histogram counted.
func (h *Histogram) Add(other Histogram) {
	for i, n := range other.Buckets {
		h.Buckets[i] += n
	}
	h.Sum += other.Sum
}
