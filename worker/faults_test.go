package worker_test

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/store"
)

// fault decides what befalls a command; script names it, if it is a script of the store or the one by which asynq enqueues.
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
	var hash string
	switch cmd[0] {
	case "EVAL":
		sum := sha1.Sum([]byte(cmd[1]))
		hash = hex.EncodeToString(sum[:])
		if w.loaded == nil {
			w.loaded = map[string]bool{}
		}
		w.loaded[hash] = true
	case "EVALSHA":
		if hash = cmd[1]; !w.loaded[hash] {
			return ""
		}
	default:
		return ""
	}
	if name := store.ScriptName(hash); name != "" {
		return name
	}
	if cmd[2] == "2" && strings.HasPrefix(cmd[3], "asynq:") && strings.HasSuffix(cmd[4], ":pending") {
		return "enqueue"
	}
	return ""
}

// first lets a fault befall the first times runs of a script, and counts all of its runs.
func (w *wire) first(times int32, script string, befalls memredis.Fault) *atomic.Int32 {
	var count atomic.Int32
	w.faults(func(name string, _ []string) memredis.Fault {
		if name == script && count.Add(1) <= times {
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
		if strings.HasSuffix(cmd[0], "SUBSCRIBE") && strings.Contains(strings.Join(cmd[1:], " "), channels) {
			return memredis.DropRequest
		}
		return memredis.Pass
	}
}
