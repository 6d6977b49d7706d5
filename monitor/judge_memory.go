package monitor

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

const (
	nearlyFull = 0.9 // of maxmemory: the time to act is before Redis refuses to write
	// saysFull is what Redis answers when its memory is full.
	saysFull = "OOM command not allowed"
	// smallUse: of what takes less of the memory there is nothing to say.
	smallUse = 0.01
)

// MemoryUse is about how much of a server's memory keys of a kind take.
type MemoryUse struct {
	What  string // "results", "failures", "calls in flight", "asynq's archive", "asynq's other keys", "refq's other keys" or "keys of others"
	Bytes int64  // by a sample
}

// NearlyFull reports whether the server uses at least 90 % of the memory that it may use.
func (s ServerHealth) NearlyFull() bool {
	return s.MaxMemory > 0 && float64(s.UsedMemory) >= nearlyFull*float64(s.MaxMemory)
}

// memory judges whether there is room for what is written.
func (h Health) memory() Finding {
	f := h.worst("memory", judgeMemory)
	if f.Level == LevelWrong {
		return f
	}
	for _, r := range h.Refused {
		if strings.Contains(r.Reason, saysFull) {
			return LevelWrong.of(roomRemedy, "Redis is full, as it says of keys %s: %s", r.Keys, whatFullMeans).named("memory")
		}
	}
	return f
}

const (
	roomRemedy    = "raise maxmemory, shorten ttl and failure_ttl, or delete what is not needed"
	whatFullMeans = "new calls are refused, none starts, and outcomes wait in their workers"
)

func judgeMemory(s ServerHealth) Finding {
	switch {
	case s.InMemory:
		return fine("it has no limit of its own")
	case s.UsedMemory == 0:
		return LevelUnknown.of("look whether it is full, and permit INFO", "Redis does not tell how much it uses")
	case s.MaxMemory == 0:
		return fine("%s used, and no maxmemory", bytesText(s.UsedMemory))
	}
	fact := fmt.Sprintf("%s of %s used", bytesText(s.UsedMemory), bytesText(s.MaxMemory))
	switch {
	case s.EvictionPolicy != "" && s.EvictionPolicy != "noeviction":
		return fine("%s: then Redis evicts", fact) // which is another finding
	case s.UsedMemory >= s.MaxMemory:
		return LevelWrong.of(roomRemedy, "full, %s: %s%s", fact, whatFullMeans, s.usesText())
	case s.NearlyFull():
		return LevelWarning.of(roomRemedy, "%.0f %% full, %s%s", math.Floor(100*float64(s.UsedMemory)/float64(s.MaxMemory)), fact, s.usesText())
	}
	return fine("%s", fact)
}

// usesText tells what takes most of the memory.
func (s ServerHealth) usesText() string {
	uses := slices.Clone(s.MemoryUses)
	slices.SortStableFunc(uses, func(a, b MemoryUse) int { return int(min(1, max(-1, b.Bytes-a.Bytes))) })
	var texts []string
	for _, u := range uses[:min(len(uses), maxNamed)] {
		if float64(u.Bytes) >= smallUse*float64(s.UsedMemory) {
			texts = append(texts, u.What+" "+bytesText(u.Bytes))
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return "; about: " + strings.Join(texts, ", ")
}

// unlessFull judges what a full Redis brings about by itself: that is told by the finding about memory.
func (h Health) unlessFull(judge func() Finding) func() Finding {
	return func() Finding {
		f := judge()
		if f.Level != LevelOK && h.memory().Level == LevelWrong {
			return LevelUnknown.of("", "%s; Redis is full, see memory", f.Fact)
		}
		return f
	}
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	size, unit := float64(n), 0
	for size >= 1000 && unit < len(units)-1 {
		size, unit = size/1000, unit+1
	}
	if unit == 0 || size >= 100 {
		return fmt.Sprintf("%.0f %s", size, units[unit])
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}
