package store

import (
	"context"
	"sync"
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

	sweepEvery     = 900 * time.Millisecond // a little less than the sweepers' second: none finds it just too early
	sweepTidy      = 100                    // entries looked at in a sweep that only tidies
	sweepGap       = 3 * time.Second        // longer without a sweep: Redis was away, nobody is dead yet
	pendingTooLong = 5 * time.Second
	overdueTooLong = 2 * time.Second
	completions    = 10_000 // entries of the list of completions
	maxWaiters     = 64
	handOnFor      = 10 * time.Minute // a call is handed on by workers that do not know one of its members
	maxPush        = 8 << 10          // bytes of a stored result that go along with the message of its task's end
	suspectLater   = time.Second      // until the next look at a suspect beside which another runs
	newerLater     = 5 * time.Second  // until the next look at a record that this code cannot read
	pausedLater    = 5 * time.Second  // until the next look at a call whose function is paused, which could not be set aside
	stampsKept     = time.Hour        // stamps, or longer: as long as results of functions with tags
	dropStamps     = 5000             // stamps that are dropped at a time, at most
	maxAside       = 64               // doorbells that one take sets aside
	wakeAside      = 16               // names that a sweep wakes a worker for
	maxUnheard     = 3                // workers that do not hear, for a message that any of them may have
	unservedAfter  = time.Second      // that a task has waited before it is asked who could run it
	lookedAt       = 100              // living workers that are asked what they know
	namedOfThese   = 5                // functions that are named of those that they know
	listsNamed     = 10               // different lists of functions whose functions are counted
)

// maxStamps is how many stamps of a queue are kept, and the floor beside them. A test makes do with fewer.
var maxStamps = 100_000

var (
	submitScript       = newScript("submit")
	claimScript        = newScript("claim")
	finishScript       = newScript("finish")
	redeliverScript    = newScript("redeliver")
	newDeliveryScript  = newScript("new_delivery")
	retryScript        = newScript("retry")
	cancelScript       = newScript("cancel")
	deleteScript       = newScript("delete")
	invalidateScript   = newScript("invalidate")
	progressScript     = newScript("progress")
	readScript         = newScript("read")
	pageScript         = newScript("page")
	completionsScript  = newScript("completions")
	listedScript       = newScript("listed")
	heartbeatScript    = newScript("heartbeat")
	removeWorkerScript = newScript("remove_worker")
	sweepScript        = newScript("sweep")
	wakeForScript      = newScript("wake_for")
	unservedScript     = newScript("unserved")
	pauseScript        = newScript("pause")
	resumeScript       = newScript("resume")
	pausesScript       = newScript("pauses")
	overviewScript     = newScript("overview")
	declaredScript     = newScript("declared")
	permittedScript    = newScript("permitted")
	countScript        = newScript("count")
	sizesScript        = newScript("sizes")
	enterScript        = newScript("enter")
	dueScript          = newScript("due")
	declareScript      = newScript("declare")
	pauseGateScript    = newScript("pause_gate")
	sweepGatesScript   = newScript("sweep_gates")
	setGateScript      = newScript("set_gate")
	gatesReadScript    = newScript("gates_read")
	gateReadScript     = newScript("gate_read")
)

// newScript returns a function that returns the script of that name. The script is put together when it is used first:
// all of them take some 30 ms, and most programs and most runs of the command line use few.
func newScript(name string) func() *redis.Script {
	return sync.OnceValue(func() *redis.Script { return named(name, assemble(name)) })
}

// scriptNames are the names of the scripts that this process has used, by hash.
var scriptNames sync.Map // string -> string

func named(name, text string) *redis.Script {
	s := redis.NewScript(text)
	scriptNames.Store(s.Hash(), name)
	return s
}

// ScriptName returns the name of the script of this package that has a hash, with or without a piggyback; empty if it
// is none, or none that this process has used.
func ScriptName(hash string) string {
	name, _ := scriptNames.Load(hash)
	text, _ := name.(string)
	return text
}

// about are the keys of a script about a task.
func about(ref refcache.Ref) []string { return []string{prefix(ref.Queue()), recordKey(ref)} }

// aboutQueue are the keys of a script about a whole queue: neither is ever there. While the queue's slot moves to another node of a
// Cluster, a script with one such key would be sent to the new node, where the queue still looks empty. With two, either node
// answers TRYAGAIN, and nothing runs on half a queue.
func aboutQueue(queue string) []string { return []string{prefix(queue), NobodysKey(queue)} }

// onTask runs a script about one task.
func (s *Store) onTask(ctx context.Context, script *redis.Script, ref refcache.Ref, args ...any) *redis.Cmd {
	return s.counted(script, script.Run(ctx, s.rdb, about(ref), args...))
}

// onQueue runs a script about a queue.
func (s *Store) onQueue(ctx context.Context, script *redis.Script, queue string, args ...any) *redis.Cmd {
	return s.counted(script, script.Run(ctx, s.rdb, aboutQueue(queue), args...))
}
