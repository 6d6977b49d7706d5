package worker_test

import (
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/refq/refq/internal/memredis"
)

// fault decides what befalls a command; script names it, if it is one of those that scriptName knows.
type fault func(script string, cmd []string) memredis.Fault

// wire watches what goes to Redis from the start: a script that Redis has not met does nothing but ask for its text.
type wire struct {
	mu     sync.Mutex
	loaded map[string]bool // by SHA-1
	fault  fault
}

// faults has f decide from now on; nil ends all faults.
func (w *wire) faults(f fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

func (w *wire) pass(cmd []string) memredis.Fault {
	w.mu.Lock()
	script, f := w.script(cmd), w.fault
	w.mu.Unlock()
	if f == nil {
		return memredis.Pass
	}
	return f(script, cmd)
}

func (w *wire) script(cmd []string) string {
	switch cmd[0] {
	case "EVAL":
		sum := sha1.Sum([]byte(cmd[1]))
		if w.loaded == nil {
			w.loaded = map[string]bool{}
		}
		w.loaded[hex.EncodeToString(sum[:])] = true
	case "EVALSHA":
		if !w.loaded[cmd[1]] {
			return ""
		}
	default:
		return ""
	}
	n, _ := strconv.Atoi(cmd[2])
	return scriptName(cmd[3:3+n], cmd[3+n:])
}

// scriptName tells by its arguments which script it is.
func scriptName(keys, args []string) string {
	switch {
	case len(keys) == 2 && strings.HasPrefix(keys[0], "asynq:") && strings.HasSuffix(keys[1], ":pending"):
		return "enqueue"
	case len(keys) == 0 || !strings.HasPrefix(keys[0], "refq:"):
		return ""
	case len(keys) == 1 && len(args) >= 2 && strings.HasPrefix(args[1], "{"):
		return "beat"
	case len(keys) == 1:
		return ""
	case strings.HasSuffix(keys[len(keys)-1], "}:lease"):
		return "take"
	case len(args) == 1:
		return "renumber"
	case slices.Contains([]string{"complete", "error", "release"}, args[1]):
		return "finish"
	case len(args) >= 5 && strings.Count(args[3], ",") > 3: // a policy
		return "submit"
	case len(args) == 5:
		return "retry"
	case len(args) == 2 && strings.HasPrefix(args[1], "{"):
		return "progress"
	case len(args) == 2 && slices.Contains([]string{"", "result", "history", "all"}, args[1]):
		return "read"
	case len(args) == 2 && isNumber(args[0]):
		return "delete"
	case len(args) == 2, len(args) == 3 && args[2] == "1":
		return "claim"
	case isNumber(args[0]):
		return "cancel"
	}
	return "redeliver"
}

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }

// first lets a fault befall the first times runs of a script, and counts all of its runs.
func (w *wire) first(times int32, script string, befalls memredis.Fault) *atomic.Int32 {
	return w.from(1, times, script, befalls)
}

// from lets a fault befall some runs of a script from the nth on, and counts the runs from that one on.
func (w *wire) from(nth, times int32, script string, befalls memredis.Fault) *atomic.Int32 {
	var run, count atomic.Int32
	w.faults(func(name string, _ []string) memredis.Fault {
		if name == script && run.Add(1) >= nth && count.Add(1) <= times {
			return befalls
		}
		return memredis.Pass
	})
	return &count
}

// count counts the runs of a script from now on.
func (w *wire) count(script string) *atomic.Int32 {
	return w.first(0, script, memredis.Pass)
}

// until lets a fault befall every run of a script until then.
func (w *wire) until(end time.Time, script string, befalls memredis.Fault) {
	w.faults(func(name string, _ []string) memredis.Fault {
		if name == script && time.Now().Before(end) {
			return befalls
		}
		return memredis.Pass
	})
}

// delay makes every run of a script take long.
func (w *wire) delay(script string, by time.Duration) {
	w.faults(delaying(script, by))
}

func delaying(script string, by time.Duration) fault {
	return func(name string, _ []string) memredis.Fault {
		if name == script {
			time.Sleep(by)
		}
		return memredis.Pass
	}
}

// deafTo cuts every subscription to channels of that prefix.
func deafTo(channels string) fault {
	return func(_ string, cmd []string) memredis.Fault {
		if cmd[0] == "SUBSCRIBE" && strings.HasPrefix(cmd[1], channels) {
			return memredis.DropRequest
		}
		return memredis.Pass
	}
}
