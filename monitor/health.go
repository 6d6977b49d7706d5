package monitor

import (
	"fmt"
	"slices"
	"time"

	"github.com/refq/refq/refcache"
)

// Health is what was found out about a Redis, the calls that wait in it and the workers that serve them. It holds
// facts; [Health.Findings] judges them. Pointers are nil, and texts empty, for what could not be found out.
type Health struct {
	Servers   []ServerHealth   // the one server, or each master of a Cluster
	Missing   []Missing        // nodes that did not answer, with what is not told for that
	User      string           // that Redis knows us as
	Refused   []Refusal        // what Redis does not let us do
	Role      string           // what the user is to do, as admin.ACL has it; empty: all
	NoWorker  bool             // the user has no rights to what only workers need, so Refused does not name that
	Blind     string           // why Queues, Workers, Pauses and Gates could not be read; empty: they were
	Namespace string           // whose calls Waiting and OldestPending of Queues tell of; empty: all. Numbers are of all namespaces
	Queues    []QueueHealth    // all that were ever used, by name
	Workers   []WorkerHealth   // by id; also those that died and have not been cleared away
	Pauses    []refcache.Pause // what is paused: queues by name, then functions by name
	Gates     []GateState      // of all queues, by queue and name
	Other     []Finding        // what the asker has found besides; listed last
}

// ServerHealth is a Redis server that holds calls.
type ServerHealth struct {
	Addr           string
	Version        string // of Redis, or of the Redis that it is compatible with
	Valkey         string // the version of Valkey; empty if it is none
	Role           string // master or slave, as INFO has it
	Replicas       *int   // that are connected
	Cluster        *ClusterHealth
	InMemory       bool // it is the one of refq dev, or of a test
	EvictionPolicy string
	UsedMemory     int64       // bytes that count against MaxMemory
	MaxMemory      int64       // bytes; 0: no limit is set, or none is known
	MemoryUses     []MemoryUse // what takes the memory, when at least 90 % of it is used; nil: it is not, or Redis does not tell
	AppendOnly     *bool       // it keeps an append-only file
	Snapshots      *bool       // it takes snapshots by itself
	SaveError      string      // what of this went wrong last time
	Latency        *time.Duration
	ClockSkew      *time.Duration // how far this host's clock is ahead of Redis's; negative: behind
}

// ClusterHealth is what a master of a Cluster says of it.
type ClusterHealth struct {
	Down           bool     // it takes itself for unable to serve
	Unserved       int      // slots that no node holds, or whose node has failed
	OpenSlots      []string // slots on their way to or from this node, or that stayed behind when a move was broken off
	SilentReplicas []string // host:port of this node's replicas that it does not reach
}

// Refusal is something refq needs that Redis does not let it do.
type Refusal struct {
	Keys     string   // the pattern of the keys that it is about: all of them, unless there are Commands
	Channels string   // the same of channels
	Commands []string // that may not be used at all, or not on Keys
	Reason   string   // Redis's words, when it is not for want of permission: it refuses writes
	Node     string   // host:port of the node of a Cluster that refuses it; empty: all do, or there is one
}

// QueueHealth is what waits and runs in a queue. What is said of single calls is true of those looked at: the oldest
// and newest 1,000 that are pending, and as many that wait for a retry.
type QueueHealth struct {
	Name             string
	InLine           int // calls in status waiting: the gate of each lets no more in
	Pending          int
	Retrying         int
	Processing       int
	Partial          bool              // there are more calls than were looked at
	Waiting          []WaitingFunction // pending and retrying calls, by function
	OldestPending    time.Duration     // how long the oldest has been waiting; 0 when none is
	OldestProcessing time.Duration     // how long the attempt has run that runs longest, as its worker told last; 0 when none is told of
	Overdue          int               // retries that should have started more than [OverdueAfter] ago
	OldestOverdue    time.Duration     // how late the latest of them is
	Gone             int               // calls that are listed as waiting, but have no record
	Lost             int               // attempts that dead workers hold
	Archived         int               // what asynq keeps in its archive of the queue, at most 9,999
}

// WaitingFunction is how many calls of a function wait in a queue.
type WaitingFunction struct {
	Func    string
	Version int
	Calls   int
}

// String returns name@version, as [WorkerHealth].Functions has it.
func (f WaitingFunction) String() string { return fmt.Sprintf("%s@%d", f.Func, f.Version) }

// WorkerHealth is a worker as it was last heard of.
type WorkerHealth struct {
	ID        string
	Host      string
	PID       int
	Queues    []string
	Functions []string // as name@version; nil: it has not told yet
	Since     *time.Time
	LastBeat  time.Time // by Redis's clock
	Silent    time.Duration
	Alive     bool
	Running   int // attempts that it holds
	// NotAsking are the queues in which it beats, but has not asked for work for more than 15 s, though a slot was free.
	NotAsking []string
	// Oldest are up to 5 attempts in each queue that run longest, the longest first. A worker of an earlier refq tells of none.
	Oldest []RunningAttempt
	// NotReady are the functions that it knows and cannot run now.
	NotReady []UnreadyFunction
}

// UnreadyFunction is a function that a worker cannot run now.
type UnreadyFunction struct {
	Func  string        // as name@version
	Why   string        // as its program or the worker's code said it
	Again time.Duration // until the worker tries again; 0: about now
}

// RunningAttempt is an attempt that a worker has told of.
type RunningAttempt struct {
	Ref  refcache.Ref  // empty: its call is of another namespace
	Func string        // as name@version
	For  time.Duration // how long it has run by now
}

// OverdueAfter is how late a retry is when something holds it up: asynq rings at most about 2 s late, and a worker's
// sweep is behind that.
const OverdueAfter = 10 * time.Second

// Level says how bad a finding is.
type Level string

const (
	LevelOK      Level = "ok"
	LevelUnknown Level = "unknown" // it could not be found out
	LevelWarning Level = "warning" // calls run, but late, or not for certain, or not for ever
	LevelWrong   Level = "wrong"   // calls are lost, refused or not run
)

var levels = []Level{LevelOK, LevelUnknown, LevelWarning, LevelWrong}

// Finding is the judgement of one thing that was looked at.
type Finding struct {
	ID     string // never changes: one of redis_version nodes eviction memory persistence latency clock permissions workers unserved programs paused oldest_pending oldest_running overdue leftovers gates
	Level  Level
	Fact   string // one sentence
	Remedy string // what to do about it; empty when there is nothing to do
}

// Findings judges the facts: one finding for each thing that was looked at, always in the same order.
func (h Health) Findings() []Finding {
	return append([]Finding{
		h.worst("redis_version", judgeVersion),
		h.nodes().named("nodes"),
		h.worst("eviction", judgeEviction),
		h.memory(),
		h.worst("persistence", judgePersistence),
		h.worst("latency", judgeLatency),
		h.worst("clock", judgeClock),
		h.permissions().named("permissions"),
		h.seen(h.unlessFull(h.workers)).named("workers"),
		h.seen(h.unlessFull(h.unserved)).named("unserved"),
		h.seen(h.programs).named("programs"),
		h.seen(h.paused).named("paused"),
		h.seen(h.unlessFull(h.oldestPending)).named("oldest_pending"),
		h.seen(h.oldestRunning).named("oldest_running"),
		h.seen(h.unlessFull(h.overdue)).named("overdue"),
		h.seen(h.unlessFull(h.leftovers)).named("leftovers"),
		h.seen(h.unlessFull(h.gates)).named("gates"),
	}, h.Other...)
}

// Wrong reports whether one of the findings is [LevelWrong].
func (h Health) Wrong() bool {
	return slices.ContainsFunc(h.Findings(), func(f Finding) bool { return f.Level == LevelWrong })
}

func (f Finding) named(id string) Finding {
	f.ID = id
	return f
}

func fine(format string, args ...any) Finding {
	return Finding{Level: LevelOK, Fact: fmt.Sprintf(format, args...)}
}

func (l Level) of(remedy, format string, args ...any) Finding {
	return Finding{Level: l, Fact: fmt.Sprintf(format, args...), Remedy: remedy}
}

// worst judges each server and returns the worst finding, naming the server if there are several.
func (h Health) worst(id string, judge func(ServerHealth) Finding) Finding {
	worst := LevelUnknown.of("", "no server could be asked, see permissions").named(id)
	for n, s := range h.Servers {
		f := judge(s)
		if n > 0 && slices.Index(levels, f.Level) <= slices.Index(levels, worst.Level) {
			continue
		}
		if worst = f; len(h.Servers) > 1 {
			worst.Fact = s.Addr + ": " + f.Fact
		}
	}
	return worst.named(id)
}

// seen judges what stands in the queues, if that could be read.
func (h Health) seen(judge func() Finding) Finding {
	if h.Blind != "" {
		return LevelUnknown.of("", "could not be read, see permissions")
	}
	return judge()
}
