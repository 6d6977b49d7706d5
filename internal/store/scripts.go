package store

import (
	"context"
	"embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/refcache"
)

//go:embed lua/*.lua
var sources embed.FS

// What the scripts are told once, in their text.
const (
	// DeadAfter is how long a worker may be silent before its attempts are given to others.
	DeadAfter = 6 * time.Second
	// historyLength is how many attempts and how many events a record keeps.
	historyLength = 100

	sweepEvery     = 900 * time.Millisecond // a little less than the sweepers' second, so that none finds it just too early
	sweepTidy      = 100                    // entries looked at in a sweep that only tidies
	sweepGap       = 3 * time.Second        // longer without a sweep: Redis was away, nobody is dead yet
	pendingTooLong = 5 * time.Second
	overdueTooLong = 2 * time.Second
	completions    = 10_000 // entries of the index of complete tasks
	mostWaiters    = 64
	newerLater     = 5 * time.Second // until the next look at a record that this code cannot read
)

var (
	submitScript     = script("submit")
	claimScript      = script("claim")
	finishScript     = script("finish")
	redeliverScript  = script("redeliver")
	renumberScript   = script("renumber")
	retryScript      = script("retry")
	cancelScript     = script("cancel")
	deleteScript     = script("delete")
	progressScript   = script("progress")
	readScript       = script("read")
	pageScript       = script("page")
	beatScript       = script("beat")
	dropWorkerScript = script("drop_worker")
	sweepScript      = script("sweep")
	overviewScript   = script("overview")
	permittedScript  = redis.NewScript(source("permitted"))
)

func script(name string) *redis.Script {
	return redis.NewScript(constants(name) + source("lib") + source(name))
}

func source(name string) string {
	text, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // a script that is named above and not there
	}
	return string(text)
}

func constants(name string) string {
	var b strings.Builder
	define := func(name, value string) { fmt.Fprintf(&b, "local %s = %s\n", name, value) }
	limit := func(name string, value int64) { define(name, fmt.Sprint(value)) }

	define("FROM", luaFrom(name))
	define("STATUS", luaStatuses())
	define("FIELDS", luaList(fields))
	define("POLICY", luaList(policyFields))
	define("CHECKED", luaList(slices.Concat([]string{"status"}, wholeFields, decimalFields)))
	define("WHOLE", luaList(wholeFields))
	define("DECIMAL", luaList(decimalFields))
	define("NEEDED", luaNeeded())
	d := refcache.Defaults
	define("DEFAULT", fmt.Sprintf("{ns = '%s', max_retries = %d, ttl = %d, failure_ttl = %d}",
		refcache.DefaultNamespace, d.MaxRetries, d.TTL.Milliseconds(), d.FailureTTL.Milliseconds()))
	limit("MAX_LOST", refcache.MaxLost)
	limit("DEAD_AFTER", DeadAfter.Milliseconds())
	limit("HISTORY", historyLength)
	limit("SWEEP_EVERY", sweepEvery.Milliseconds())
	limit("SWEEP_TIDY", sweepTidy)
	limit("SWEEP_GAP", sweepGap.Milliseconds())
	limit("PENDING_TOO_LONG", pendingTooLong.Milliseconds())
	limit("OVERDUE_TOO_LONG", overdueTooLong.Milliseconds())
	limit("COMPLETIONS", completions)
	limit("WAITERS", mostWaiters)
	limit("RECORD_VERSION", recordVersion)
	limit("MOST_DIGITS", mostDigits)
	limit("NEWER_LATER", newerLater.Milliseconds())
	return b.String()
}

func luaList(texts []string) string {
	return "{'" + strings.Join(texts, "', '") + "'}"
}

// onTask runs a script about one task.
func (s *Store) onTask(ctx context.Context, script *redis.Script, ref refcache.Ref, args ...any) *redis.Cmd {
	return script.Run(ctx, s.rdb, []string{prefix(ref.Queue()), recordKey(ref)}, args...)
}

// onTaskOnce is onTask for a script that must not come twice: when the answer is lost, that is an error.
func (s *Store) onTaskOnce(ctx context.Context, script *redis.Script, ref refcache.Ref, args ...any) *redis.Cmd {
	return script.Run(ctx, once{s.rdb}, []string{prefix(ref.Queue()), recordKey(ref)}, args...)
}

// onQueue runs a script about a queue.
func (s *Store) onQueue(ctx context.Context, script *redis.Script, queue string, args ...any) *redis.Cmd {
	return script.Run(ctx, s.rdb, []string{prefix(queue)}, args...)
}
