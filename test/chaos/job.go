//go:build unix

package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

const queue = "chaos"

// job is what the calls of a scenario ask for. N makes it a call of its own, and its answer known beforehand.
type job struct {
	N      int
	Millis int  // how long an attempt takes
	Fails  int  // how many attempts fail before one succeeds
	Broken bool // fails for good until the scenario is healed
	Kills  bool // kills its worker

	Key, Share string `json:",omitempty"` // of its turn
}

func (j job) turn() refcache.Turn { return refcache.Turn{Key: j.Key, Share: j.Share} }

// answer is what a job comes to. Run differs for each execution.
type answer struct {
	Sum string
	Run string
}

// sum is the part of the answer that is the same whoever finds it, and whenever.
func sum(n int) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(fmt.Append(nil, "job ", n))) }

// policy is what a scenario wants of its calls; zero fields are the defaults.
type policy struct {
	MaxRetries int
	RetryDelay time.Duration
	TTL        time.Duration
	Function   string
	Queue      string
	Gate       refcache.Gate
}

func (p policy) queue() string { return cmp.Or(p.Queue, queue) }

func (p policy) function() refcache.Func[job, answer] {
	f := refcache.Func[job, answer]{
		Name: cmp.Or(p.Function, "job"), Queue: p.queue(), TTL: p.TTL, FailureTTL: p.TTL, AsyncTimeout: time.Hour,
		Retry: refcache.RetryPolicy{MaxRetries: p.MaxRetries, Delay: p.RetryDelay},
		Gate:  p.Gate,
	}
	if p.Gate.Name != "" {
		f.Turn = job.turn
	}
	return f
}

// healed is the file that mends what is broken.
func healed(dir string) string { return filepath.Join(dir, "healed") }

// doer executes jobs in a worker process, and keeps a journal of it.
type doer struct {
	dir     string
	journal *journal
}

func (d doer) do(ctx context.Context, j job) (answer, error) {
	running, _ := worker.Current(ctx)
	run := rand.Text()[:12]
	note := func(k kind, text string) {
		d.journal.write(line{Kind: k, Ref: running.Ref, N: j.N, Key: j.Key, Attempt: running.Attempt, Run: run, Text: text})
	}
	note(started, "")
	if j.Kills {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	select {
	case <-time.After(time.Duration(j.Millis) * time.Millisecond):
	case <-ctx.Done():
		note(stopped, context.Cause(ctx).Error())
		return answer{}, context.Cause(ctx)
	}
	if j.Broken {
		if _, err := os.Stat(healed(d.dir)); err != nil {
			note(failed, "broken")
			return answer{}, worker.Permanent(errors.New("broken for good"))
		}
	}
	if running.Attempt <= j.Fails {
		note(failed, "not yet")
		return answer{}, fmt.Errorf("attempt %d of job %d fails", running.Attempt, j.N)
	}
	note(returned, "")
	return answer{Sum: sum(j.N), Run: run}, nil
}
