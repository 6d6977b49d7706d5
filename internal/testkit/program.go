package testkit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Program returns the path of refq, built from cmd/refq for the tests of this package without the race detector, or with
// it where REFQ_TEST_RACE is 1. Whoever starts that should set [NoSleep]. With -short the test is skipped. It may be
// called concurrently.
func Program(tb testing.TB) (path string) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("skipped, it starts processes, and the tests are short")
	}
	path, err := program()
	if err != nil {
		tb.Fatalf("build refq: %v", err)
	}
	return path
}

// NoSleep is for the environment of programs that may have the race detector: they would sleep for a second before they
// exit.
const NoSleep = "GORACE=atexit_sleep_ms=0"

var programDir string

// program has "go run" find the binary in the build cache, where "go build" would link it anew. One test process does so
// at a time: the first one of a run builds it for all.
var program = sync.OnceValues(func() (path string, err error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	if programDir, err = os.MkdirTemp("", "refq-program-"); err != nil {
		return "", err
	}
	path = filepath.Join(programDir, "refq")
	dir, err := lockDir()
	if err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(dir, "program"))
	if err != nil {
		return "", err
	}
	defer unlock()
	cmd := exec.Command("go", "run", "-exec", "cp", fmt.Sprintf("-race=%v", os.Getenv("REFQ_TEST_RACE") == "1"), "./cmd/refq", path)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, readSources(root)
})

func removeProgram() {
	if programDir != "" {
		_ = os.RemoveAll(programDir)
	}
}

func moduleRoot() (dir string, err error) {
	if dir, err = os.Getwd(); err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the test")
		}
	}
}

// readSources reads the folders of what the program is made of and the tests do not import: the go command takes note,
// and does not repeat an old test result when something there has changed.
func readSources(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		return err
	})
}
