package monitor

import (
	"cmp"
	"fmt"
	"time"
)

// runsLong: most functions that are behind a cache are done in minutes. Beyond this somebody should know of it.
const runsLong = time.Hour

// oldestRunning tells what runs longest, and who runs it.
func (h Health) oldestRunning() Finding {
	var oldest RunningAttempt
	var by WorkerHealth
	for _, w := range h.living() {
		for _, a := range w.Oldest {
			if a.For > oldest.For {
				oldest, by = a, w
			}
		}
	}
	if oldest.For == 0 {
		return fine("no worker tells of an attempt that runs")
	}
	what := oldest.Func
	if oldest.Ref != "" {
		what += " (" + string(oldest.Ref) + ")"
	}
	who := "by worker " + by.ID
	if by.Host != "" {
		who += fmt.Sprintf(" on %s, pid %d", by.Host, by.PID)
	}
	if oldest.For < runsLong {
		return fine("running for %s: %s, %s", roughly(oldest.For), what, who)
	}
	return LevelWarning.of("if it should not take that long: look at that process, and refq cancel "+cmp.Or(string(oldest.Ref), "the call"),
		"running for %s: %s, %s", roughly(oldest.For), what, who)
}
