package testkit

import (
	"os"
	"path"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Reserve waits until the machine has room for n more servers and processes, and keeps it until the test ends. The tests
// of all packages share the room: eight units for each core, at least 16. Who asks for more than there is gets all of it
// and runs alone. A test reserves once, for all that it will run at a time, before it starts anything and before any of
// its limits of time runs, and after t.Parallel: who waited for that with units in hand would wait for those who wait for
// them. With -short the test is skipped. It must not be called in a bubble.
func Reserve(tb testing.TB, n int) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("skipped, it starts processes, and the tests are short")
	}
	if hasReserved(tb) {
		tb.Fatal("a test reserves once: two that hold a part each would wait for each other")
	}
	release, err := acquire(n)
	if err != nil {
		tb.Fatalf("reserve %d units: %v", n, err)
	}
	reserved.Store(tb.Name(), true)
	tb.Cleanup(func() {
		release()
		reserved.Delete(tb.Name())
	})
}

// RequireReserved fails a test that starts a process and has reserved nothing for it.
func RequireReserved(tb testing.TB) {
	tb.Helper()
	if !hasReserved(tb) {
		tb.Fatal("the test starts a process: reserve a unit for each that it runs at a time")
	}
}

// reserved has the names of the tests that have reserved.
var reserved sync.Map

// hasReserved reports whether the test, or one that it is a part of, has reserved.
func hasReserved(tb testing.TB) bool {
	for name := tb.Name(); name != "."; name = path.Dir(name) {
		if _, ok := reserved.Load(name); ok {
			return true
		}
	}
	return false
}

// patience is how long a test lets others with smaller needs pass.
const patience = 20 * time.Second

// acquire takes n units, all at once or none: no two tests that hold a part each wait for each other. Tests pass each
// other while they wait. Who has waited long keeps the door shut, and what becomes free, until it has all it needs.
// Units are locks of files, which the system releases when a process dies.
func acquire(n int) (release func(), err error) {
	dir, err := lockDir()
	if err != nil {
		return nil, err
	}
	n = min(n, units())
	for giveWay := time.Now().Add(patience); time.Now().Before(giveWay); time.Sleep(20 * time.Millisecond) {
		taken, all, err := throughTheDoor(dir, n, false)
		if all || err != nil {
			return taken.release, err
		}
		taken.release()
	}
	taken, _, err := throughTheDoor(dir, n, true)
	return taken.release, err
}

// held are units that a test has taken.
type held []func()

func (h held) release() {
	for _, unlock := range h {
		unlock()
	}
}

// throughTheDoor takes up to n free units, while nobody else takes any, and tells whether these are all. If it insists,
// it waits for all.
func throughTheDoor(dir string, n int, insist bool) (taken held, all bool, err error) {
	door, err := lock(filepath.Join(dir, "door"))
	if err != nil {
		return nil, false, err
	}
	defer door()
	for {
		for unit := 0; unit < units() && len(taken) < n; unit++ { // its own are locked, too
			unlock, ok, err := tryLock(filepath.Join(dir, "unit"+strconv.Itoa(unit)))
			if err != nil {
				taken.release()
				return nil, false, err
			}
			if ok {
				taken = append(taken, unlock)
			}
		}
		if len(taken) == n || !insist {
			return taken, len(taken) == n, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// lockDir is where all test processes of a user find their locks.
func lockDir() (string, error) {
	dir := filepath.Join(os.TempDir(), "refq-tests-"+strconv.Itoa(os.Getuid()))
	return dir, os.MkdirAll(dir, 0o700)
}
