//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

var mixing = scenario{
	name: "mixed", harm: "workers and producers of today beside those of the commit in test/mixed/BASE, each way, the old worker stopped under load",
	must:   "0 lost of 200, the executions add up",
	policy: policy{MaxRetries: 3, RetryDelay: 200 * time.Millisecond},
	within: [2]time.Duration{10 * time.Minute, 10 * time.Minute},
	run:    mix,
}

func mix(ctx context.Context, s *stage) (r report, err error) {
	base, commit, err := s.buildBase(ctx)
	if errors.Is(err, errNoBase) {
		r.show(true, "skipped: %s", err)
		return r, nil
	}
	if err != nil {
		return r, err
	}
	way := load{Calls: 100, Callers: 50, PerSecond: 40, Least: 50, Most: 4000, Failing: 0.2}
	s.program, s.brief.ShutdownTimeout = base, 3*time.Second
	old, err := s.startWorker(ctx)
	if err != nil {
		return r, err
	}
	s.program, s.brief.ShutdownTimeout = "", 0
	if err := s.playWay(way, nil); err != nil {
		return r, err
	}
	if _, err := s.startWorker(ctx); err != nil {
		return r, err
	}
	way.First = way.Calls
	s.program = base
	if err := s.playWay(way, func() error {
		s.pause(ctx, 2*time.Second, 3*time.Second)
		return old.stop(waitLimit)
	}); err != nil {
		return r, err
	}
	_, a, err := s.settle(ctx)
	if err != nil {
		return r, err
	}
	r.showAccount(a)
	r.show(a.lost == 0 && a.calls == 2*way.Calls, "old is %.12s; %d retries, %d attempts lost, %d handed from the old worker to the new one", commit, a.retries, a.lost, a.backs)
	return r, nil
}

// playWay has a producer make all calls of a load, does something meanwhile, and waits for the end of every call.
func (s *stage) playWay(l load, meanwhile func() error) error {
	calls, err := s.startProducer(l)
	if err != nil {
		return err
	}
	if meanwhile != nil {
		if err := meanwhile(); err != nil {
			return err
		}
	}
	return calls.end(waitLimit)
}

// errNoBase is that of a repository without the old commit: a shallow clone, or none.
var errNoBase = errors.New("git has no such commit here")

// buildBase builds this program as the old commit has it.
func (s *stage) buildBase(ctx context.Context) (program, commit string, err error) {
	root, err := output(ctx, "", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", errNoBase, err)
	}
	text, err := os.ReadFile(filepath.Join(root, "test", "mixed", "BASE"))
	if err != nil {
		return "", "", err
	}
	commit = strings.TrimSpace(string(text))
	if _, err := output(ctx, root, "git", "cat-file", "-e", commit+"^{commit}"); err != nil {
		return "", "", fmt.Errorf("%w: %w", errNoBase, err)
	}
	source, err := s.sourceOf(ctx, root, commit)
	if err != nil {
		return "", "", err
	}
	program = filepath.Join(s.dir, "chaos-base")
	_, err = output(ctx, source, "go", "build", "-o", program, "./test/chaos")
	return program, commit, err
}

// sourceOf unpacks a commit where a later run finds it: in the same folder, the build cache has what was built there.
func (s *stage) sourceOf(ctx context.Context, root, commit string) (folder string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	folder = filepath.Join(cache, "refq-chaos", commit)
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	tree := filepath.Join(s.dir, "base.tar")
	if _, err := output(ctx, root, "git", "archive", "--output", tree, commit); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return "", err
	}
	unpacked, err := os.MkdirTemp(filepath.Dir(folder), "unpacked-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(unpacked) // it has moved, unless something failed or another run was faster
	if _, err := output(ctx, unpacked, "tar", "-xf", tree); err != nil {
		return "", err
	}
	err = os.Rename(unpacked, folder)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return folder, err
}

// output runs a command in a folder and answers what it printed.
func output(ctx context.Context, dir string, command ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, text)
	}
	return text, nil
}
