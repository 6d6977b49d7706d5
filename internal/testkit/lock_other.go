//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package testkit

import "sync"

// Without locks of files that end with their process, each test process has locks of its own.
var (
	locksChanged = sync.NewCond(&sync.Mutex{})
	locked       = map[string]bool{}
)

// lock waits for a lock.
func lock(path string) (unlock func(), err error) {
	locksChanged.L.Lock()
	defer locksChanged.L.Unlock()
	for locked[path] {
		locksChanged.Wait()
	}
	locked[path] = true
	return func() { unlockOwn(path) }, nil
}

// tryLock takes a lock if nobody has it.
func tryLock(path string) (unlock func(), ok bool, err error) {
	locksChanged.L.Lock()
	defer locksChanged.L.Unlock()
	if locked[path] {
		return nil, false, nil
	}
	locked[path] = true
	return func() { unlockOwn(path) }, true, nil
}

func unlockOwn(path string) {
	locksChanged.L.Lock()
	defer locksChanged.L.Unlock()
	delete(locked, path)
	locksChanged.Broadcast()
}
