package testkit

import (
	"os"
	"time"
)

// Within is the longest that something may take in a test that can tell only by the time which mechanism has mended
// something. It is three times what is promised, and ten times beside other work, where REFQ_TEST_STRESS is 1. Whoever
// can count, wait for a condition, or run in a bubble, does not need it.
func Within(promised time.Duration) time.Duration {
	if os.Getenv("REFQ_TEST_STRESS") == "1" {
		return 10 * promised
	}
	return 3 * promised
}
