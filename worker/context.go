package worker

import (
	"context"
	"time"

	"github.com/refq/refq/refcache"
)

// Running describes the attempt that a function was called for.
type Running struct {
	Ref        refcache.Ref
	Function   string
	Attempt    int // numbered from 1 within a cycle
	MaxRetries int
	Cycle      int       // 1 in the first life of the call, one more for each new one
	CreatedAt  time.Time // when the call was first made, by Redis's clock
}

// Current returns the attempt that ctx, or a parent of it, was made for, and false when ctx comes from no worker.
func Current(ctx context.Context) (Running, bool) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return Running{}, false
	}
	task := a.task()
	return Running{Ref: task.Ref, Function: task.Policy.Name, Attempt: task.Attempt, MaxRetries: task.Policy.MaxRetries,
		Cycle: task.Cycle, CreatedAt: task.CreatedAt}, true
}

// Grace returns how long a function may go on to clean up once ctx has ended: 5 s, less when the worker is shutting
// down. A function that takes longer has its outcome written for it, and what it returns is thrown away.
// context.Cause(ctx) tells why ctx ended.
func Grace(ctx context.Context) time.Duration {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return functionGrace
	}
	return a.grace(ctx)
}

// ReportProgress says how far the running function is: current of total (0 or negative: unknown) and a message, of
// which 1 KiB is kept. It returns at once; at most 10 reports a second are written, always the last one. Safe for
// concurrent use. It does nothing when ctx comes from no worker.
func ReportProgress(ctx context.Context, current, total int64, message string) {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		a.progress.report(refcache.Progress{Current: current, Total: max(0, total), Message: message})
	}
}

type attemptKey struct{}
