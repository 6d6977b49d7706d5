package store

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/refcache"
)

// What the scripts are told once, in their text.
const (
	// DeadAfter is how long a worker may be silent before its attempts are given to others.
	DeadAfter = 6 * time.Second
	// SuspectFrom is how often a task's worker was lost when the task itself may be what brings workers down.
	SuspectFrom = 2
	// historyLength is how many attempts and how many events a record keeps.
	historyLength = 100

	sweepEvery     = 900 * time.Millisecond // a little less than the sweepers' second, so that none finds it just too early
	sweepTidy      = 100                    // entries looked at in a sweep that only tidies
	sweepGap       = 3 * time.Second        // longer without a sweep: Redis was away, nobody is dead yet
	pendingTooLong = 5 * time.Second
	overdueTooLong = 2 * time.Second
	completions    = 10_000 // entries of the list of completions
	mostWaiters    = 64
	pushMost       = 8 << 10         // bytes of a stored result that go along with the message of its task's end
	suspectLater   = time.Second     // until the next look at a suspect beside which another runs
	newerLater     = 5 * time.Second // until the next look at a record that this code cannot read
)

var (
	submitScripts     = shortenedScript("submit", 6)
	claimScripts      = shortenedScript("claim", 0)
	finishScripts     = shortenedScript("finish", 4)
	redeliverScript   = newScript("redeliver")
	renumberScript    = newScript("renumber")
	retryScript       = newScript("retry")
	cancelScript      = newScript("cancel")
	deleteScript      = newScript("delete")
	progressScript    = newScript("progress")
	readScript        = newScript("read")
	pageScript        = newScript("page")
	completionsScript = newScript("completions")
	listedScript      = newScript("listed")
	beatScript        = newScript("beat")
	dropWorkerScript  = newScript("drop_worker")
	sweepScript       = newScript("sweep")
	overviewScript    = newScript("overview")
	permittedScript   = newScript("permitted")
	countScript       = newScript("count")
	sizesScript       = newScript("sizes")
)

func newScript(name string) *redis.Script {
	s := redis.NewScript(assemble(name))
	operations[s.Hash()] = name
	return s
}

// shortened is a script with a short form, which does what the script would in the plain cases, in half of the time; in all
// others it answers nil, or that a key is not ours, and has written nothing.
type shortened struct {
	name  string
	args  int // of its own in a use of the short form that takes a rider along; 0: it takes none
	short *redis.Script
	full  *redis.Script
}

func shortenedScript(name string, args int) shortened {
	return shortened{name, args, newScript(name + "_short"), newScript(name)}
}

// run runs the short form, with its rider if there is one, and the script when it takes that.
func (d shortened) run(ctx context.Context, rdb redis.Scripter, own Use, r *Rider) *redis.Cmd {
	short, use := d.with(r, own)
	cmd := short.Run(ctx, rdb, use.Keys, use.Args...)
	if isBeyond(cmd.Err()) {
		return d.full.Run(ctx, rdb, own.Keys, own.Args...)
	}
	return cmd
}

// about are the keys of a script about a task.
func about(ref refcache.Ref) []string { return []string{prefix(ref.Queue()), recordKey(ref)} }

// onTask runs a script about one task.
func (s *Store) onTask(ctx context.Context, script *redis.Script, ref refcache.Ref, args ...any) *redis.Cmd {
	return s.counted(script, script.Run(ctx, s.scripts, about(ref), args...))
}

// isBeyond reports whether what a short form answers is that the case is not one of its own.
func isBeyond(err error) bool {
	return isNil(err) || err != nil && strings.Contains(err.Error(), "WRONGTYPE ")
}

// onQueue runs a script about a queue.
func (s *Store) onQueue(ctx context.Context, script *redis.Script, queue string, args ...any) *redis.Cmd {
	return s.counted(script, script.Run(ctx, s.scripts, []string{prefix(queue)}, args...))
}
