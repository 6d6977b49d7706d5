package script

import (
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	firstDetour   = time.Second
	longestDetour = 10 * time.Second
)

// detour is how long scripts go around a shared connection that leads to the wrong place: a master that has been demoted
// lives on, and answers. The zero value is none.
type detour struct {
	mu    sync.Mutex
	until time.Time
	last  time.Duration // how long the last one took
}

// on is whether scripts are to go around the shared connection.
func (d *detour) on() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Before(d.until)
}

// begin has scripts go around the shared connection. Each time takes twice as long as the one before, if that is not long
// over. It answers false when they go around it already.
func (d *detour) begin() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	switch {
	case now.Before(d.until):
		return false
	case now.Sub(d.until) > 2*longestDetour:
		d.last = 0
	}
	d.last = min(max(firstDetour, 2*d.last), longestDetour)
	d.until = now.Add(d.last)
	return true
}

// misdirected is whether Redis says that a command has come to the wrong place, or too early, and has not run.
func misdirected(err error) bool {
	for _, prefix := range []string{"READONLY", "MASTERDOWN", "LOADING", "NOAUTH", "WRONGPASS"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	// Redis 6 puts its own words before those of the command that a script has called.
	return answered(err) && strings.Contains(err.Error(), "-READONLY You can't write against a read only replica")
}
