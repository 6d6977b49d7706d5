//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/refq/refq/refcache"
)

var failures = scenario{
	name: "failures", harm: "50,000 permanent failures",
	must:   "50,000 listed, all retried by one `retry --all --fresh` in < 60 s",
	within: [2]time.Duration{2 * time.Minute, 6 * time.Minute},
	run:    failAndRetryAll,
}

func failAndRetryAll(ctx context.Context, s *stage) (r report, err error) {
	s.brief.Concurrency = 50
	if _, err := s.startWorkers(ctx, 2); err != nil {
		return r, err
	}
	refq, err := s.build(ctx)
	if err != nil {
		return r, err
	}
	calls := either(s, 1500, 50_000)
	p, err := s.startProducer(load{Calls: calls, Callers: 32, Broken: 1, NoWait: true})
	if err != nil {
		return r, err
	}
	if err := p.end(2 * time.Minute); err != nil {
		return r, err
	}
	if err := s.untilEnded(ctx, refcache.Failed, calls); err != nil {
		return r, err
	}
	listed, err := s.refq(ctx, refq, "ls", "--status", "failed", "--limit", "0", "-o", "json")
	if err != nil {
		return r, err
	}
	if err := os.WriteFile(healed(s.dir), nil, 0o600); err != nil {
		return r, err
	}
	began := time.Now()
	retried, err := s.refq(ctx, refq, "retry", "--all", "--fresh", "--yes", "-o", "json")
	if err != nil {
		return r, err
	}
	took := time.Since(began)
	if err := s.untilEnded(ctx, refcache.Complete, calls); err != nil {
		return r, err
	}
	done := time.Since(began)
	_, a, err := s.settle(ctx)
	if err != nil {
		return r, err
	}
	r.showAccount(a)
	r.show(listed == calls, "%d listed", listed)
	r.show(retried == calls && took < time.Minute, "%d retried by one command in %s", retried, round(took))
	r.show(a.complete == calls, "%d complete %s after it began", a.complete, round(done))
	return r, nil
}

// build builds refq itself, from the module that this program is of.
func (s *stage) build(ctx context.Context) (path string, err error) {
	path = filepath.Join(s.dir, "refq")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/refq/refq/cmd/refq").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build refq: %w: %s", err, out)
	}
	return path, nil
}

// refq runs refq and answers how many lines it printed.
func (s *stage) refq(ctx context.Context, path string, args ...string) (lines int, err error) {
	cmd := exec.CommandContext(ctx, path, append(args, "--redis", s.brief.Redis)...)
	cmd.Dir = s.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("refq %v: %w: %s", args, err, &stderr)
	}
	return bytes.Count(out, []byte("\n")), nil
}

// untilEnded waits until so many calls have a final status, and none is in flight.
func (s *stage) untilEnded(ctx context.Context, status refcache.Status, calls int) error {
	prefix := "refq:{" + queue + "}:"
	return s.until(ctx, fmt.Sprintf("%d calls are %s", calls, status), func() (bool, error) {
		if status == refcache.Complete { // whose list is bounded
			n, err := s.client.LLen(ctx, prefix+"completions").Result()
			failed, err2 := s.client.ZCard(ctx, prefix+string(refcache.Failed)).Result()
			waiting, err3 := s.client.ZCard(ctx, prefix+string(refcache.Pending)).Result()
			return failed+waiting == 0 && int(n) >= min(calls, 10_000), errors.Join(err, err2, err3)
		}
		n, err := s.client.ZCard(ctx, prefix+string(status)).Result()
		return int(n) == calls, err
	})
}
