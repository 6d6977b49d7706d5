package monitor_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"

	"github.com/stretchr/testify/require"
)

// healthy is a Redis with a worker and no call, of which nothing is to be said.
func healthy() monitor.Health {
	return monitor.Health{
		Servers: []monitor.ServerHealth{{Addr: "a:6379", Version: "7.0.15", EvictionPolicy: "noeviction", UsedMemory: 50,
			AppendOnly: new(true), Snapshots: new(true), Latency: new(150 * time.Microsecond), ClockSkew: new(-2 * time.Millisecond)}},
		User:   "app",
		Queues: []monitor.QueueHealth{{Name: "media"}},
		Workers: []monitor.WorkerHealth{{ID: "h-1-abc", Host: "h", PID: 1, Queues: []string{"media"}, Alive: true,
			Functions: []string{"echo@1", "thumb@2"}, Since: new(time.UnixMilli(1_764_000_000_000)),
			LastBeat: time.UnixMilli(1_764_000_060_000), Silent: time.Second, Running: 3}},
	}
}

func finding(t *testing.T, h monitor.Health, id string) monitor.Finding {
	t.Helper()
	for _, f := range h.Findings() {
		if f.ID == id {
			return f
		}
	}
	require.FailNow(t, "no such finding", id)
	panic("unreachable")
}

func TestHealthyRedisAndWorkersAreFoundSo(t *testing.T) {
	t.Parallel()
	var ids []string
	for _, f := range healthy().Findings() {
		ids = append(ids, f.ID)
		require.Equal(t, monitor.LevelOK, f.Level, f)
		require.NotEmpty(t, f.Fact, f.ID)
		require.Empty(t, f.Remedy, f.ID)
	}
	require.Equal(t, []string{"redis_version", "nodes", "eviction", "memory", "persistence", "latency", "clock", "permissions", "workers", "unserved",
		"programs", "paused", "oldest_pending", "oldest_running", "overdue", "leftovers", "gates"}, ids)
	require.False(t, healthy().Wrong())
}

const (
	ok, unknown, warning, wrong = monitor.LevelOK, monitor.LevelUnknown, monitor.LevelWarning, monitor.LevelWrong
	appendOnly                  = "CONFIG SET appendonly yes, and the same in redis.conf"
	noEviction                  = "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf"
	busy                        = "start more workers, or raise their concurrency; if they are idle, look into their logs"
	room                        = "raise maxmemory, shorten ttl and failure_ttl, or delete what is not needed"
	startOne                    = "start one: refq worker, or a program of yours that calls worker.Run"
)

func TestFactsAboutRedisAreJudged(t *testing.T) {
	t.Parallel()
	type server = monitor.ServerHealth
	for _, c := range []struct {
		id           string
		fault        func(s *server)
		level        monitor.Level
		fact, remedy string
	}{
		{"redis_version", func(s *server) { s.Version = "6.2.0" }, ok, "Redis 6.2.0", ""},
		{"redis_version", func(s *server) { s.Version = "10.0.1" }, ok, "Redis 10.0.1", ""},
		{"redis_version", func(s *server) { s.Version = "6.0.16" }, wrong, "Redis 6.0.16 is too old: asynq needs 6.2 or newer", "update Redis, best to 7 or newer"},
		{"redis_version", func(s *server) { s.Version = "6.1.240" }, wrong, "Redis 6.1.240 is too old: asynq needs 6.2 or newer", "update Redis, best to 7 or newer"},
		{"redis_version", func(s *server) { s.Version = "5.9.1" }, wrong, "Redis 5.9.1 is too old: asynq needs 6.2 or newer", "update Redis, best to 7 or newer"},
		{"redis_version", func(s *server) { s.Version = "" }, unknown, "Redis does not tell its version", "make sure that it is 6.2 or newer, and permit INFO"},
		{"redis_version", func(s *server) { *s = server{InMemory: true} }, ok, "the in-memory Redis of refq dev", ""},

		{"eviction", func(s *server) { s.EvictionPolicy, s.MaxMemory = "volatile-lru", 100 }, wrong,
			"maxmemory-policy is volatile-lru: when memory is full, calls and results vanish", noEviction},
		{"eviction", func(s *server) { s.EvictionPolicy = "allkeys-lru" }, warning,
			"maxmemory-policy is allkeys-lru: once a maxmemory is set, calls may vanish", noEviction},
		{"eviction", func(s *server) { s.MaxMemory, s.UsedMemory = 1000, 950 }, ok, "noeviction", ""},
		{"eviction", func(s *server) { s.EvictionPolicy = "" }, unknown, "Redis does not tell its maxmemory-policy",
			"make sure that maxmemory-policy is noeviction, and permit INFO"},
		{"eviction", func(s *server) { *s = server{InMemory: true} }, ok, "it never evicts", ""},

		{"memory", func(s *server) { s.UsedMemory = 1_500_000_000 }, ok, "1.5 GB used, and no maxmemory", ""},
		{"memory", func(s *server) { s.MaxMemory, s.UsedMemory = 1000, 899 }, ok, "899 B of 1.0 kB used", ""},
		{"memory", func(s *server) {
			s.MaxMemory, s.UsedMemory = 2_000_000, 1_800_000
			s.MemoryUses = []monitor.MemoryUse{{What: "failures", Bytes: 100_000}, {What: "results", Bytes: 1_650_000}, {What: "keys of others", Bytes: 17_999}}
		}, warning, "90 % full, 1.8 MB of 2.0 MB used; about: results 1.6 MB, failures 100 kB", room},
		{"memory", func(s *server) { s.MaxMemory, s.UsedMemory = 1000, 1000 }, wrong,
			"full, 1.0 kB of 1.0 kB used: new calls are refused, none starts, and outcomes wait in their workers", room},
		{"memory", func(s *server) { s.MaxMemory, s.UsedMemory, s.EvictionPolicy = 1000, 1000, "" }, wrong,
			"full, 1.0 kB of 1.0 kB used: new calls are refused, none starts, and outcomes wait in their workers", room},
		{"memory", func(s *server) { s.UsedMemory = 0 }, unknown, "Redis does not tell how much it uses", "look whether it is full, and permit INFO"},
		{"memory", func(s *server) { *s = server{InMemory: true} }, ok, "it has no limit of its own", ""},

		{"persistence", func(s *server) { s.AppendOnly = new(false) }, warning, "snapshots only: a crash loses the calls since the last one", appendOnly},
		{"persistence", func(s *server) { s.AppendOnly, s.Snapshots = new(false), new(false) }, warning,
			"nothing is saved: a restart of Redis loses all calls and results", appendOnly},
		{"persistence", func(s *server) { s.AppendOnly, s.Snapshots = new(false), nil }, unknown,
			"no append-only file; Redis does not tell whether it takes snapshots", "ask its operator what a crash may cost"},
		{"persistence", func(s *server) { s.AppendOnly = nil }, unknown, "Redis does not tell whether it saves",
			"make sure that appendonly is on, and permit INFO"},
		{"persistence", func(s *server) { s.SaveError = "aof_last_write_status is err" }, wrong,
			"Redis cannot save: aof_last_write_status is err", "look into Redis's log, and at its disk's free space"},
		{"persistence", func(s *server) { s.InMemory = true }, warning, "in memory: all calls are gone when refq dev ends",
			"start a redis-server for more than trying things out"},

		{"latency", func(s *server) { s.Latency = new(49 * time.Millisecond) }, ok, "49ms a trip", ""},
		{"latency", func(s *server) { s.Latency = new(50 * time.Millisecond) }, warning, "50ms a trip; a call takes about six",
			"bring workers and Redis closer, or look at Redis's load and SLOWLOG"},
		{"latency", func(s *server) { s.Latency = new(time.Second) }, wrong, "1s a trip: workers may be taken for dead",
			"look at Redis's load, SLOWLOG and the network"},
		{"latency", func(s *server) { s.Latency = nil }, unknown, "could not be measured, see permissions", ""},

		{"clock", func(s *server) { s.ClockSkew = new(-time.Millisecond) }, ok, "this host's clock and Redis's agree within 1ms", ""},
		{"clock", func(s *server) { s.ClockSkew = new(time.Second) }, ok, "this host's clock is 1s ahead of Redis's", ""},
		{"clock", func(s *server) { s.ClockSkew = new(90 * time.Second) }, warning,
			"this host's clock is 1m30s ahead of Redis's: a worker here may start retries that much late", "synchronise the clocks (NTP)"},
		{"clock", func(s *server) { s.ClockSkew = new(-1500 * time.Millisecond) }, warning,
			"this host's clock is 1.5s behind Redis's: a worker here may start retries that much late", "synchronise the clocks (NTP)"},
		{"clock", func(s *server) { s.ClockSkew = nil }, unknown, "could not be measured, see permissions", ""},
	} {
		h := healthy()
		c.fault(&h.Servers[0])
		require.Equal(t, monitor.Finding{ID: c.id, Level: c.level, Fact: c.fact, Remedy: c.remedy}, finding(t, h, c.id))
		require.Equal(t, c.level == wrong, h.Wrong(), c.fact)
	}
}

func TestWorstServerOfAClusterIsNamed(t *testing.T) {
	t.Parallel()
	h := healthy()
	for _, version := range []string{"", "6.0.16", "7.2.4"} {
		s := h.Servers[0]
		s.Addr, s.Version = "node"+version, version
		h.Servers = append(h.Servers, s)
	}
	require.Equal(t, "node6.0.16: Redis 6.0.16 is too old: asynq needs 6.2 or newer", finding(t, h, "redis_version").Fact)
	h.Servers = nil
	require.Equal(t, monitor.Finding{ID: "eviction", Level: unknown, Fact: "no server could be asked, see permissions"}, finding(t, h, "eviction"))
}

func TestRefusalsNameWhatToPermit(t *testing.T) {
	t.Parallel()
	type refused = []monitor.Refusal
	many := []string{"A", "B", "C", "D", "E", "F", "G", "H", "I"}
	for _, c := range []struct {
		refused      refused
		fact, remedy string
	}{
		{refused{{Keys: "refq:{a}:*", Commands: []string{"ZADD"}}, {Keys: "asynq:{a}:*", Commands: []string{"ZADD", "INCR"}}},
			"not permitted: ZADD on refq:{a}:*; ZADD, INCR on asynq:{a}:*", "ACL SETUSER app +incr +zadd"},
		{refused{{Keys: "refq:{a}:*", Commands: many}},
			"not permitted: A, B, C, D, E and 4 more on refq:{a}:*", "ACL SETUSER app +@all -@dangerous +info"},
		{refused{{Keys: "refq:{a}:*"}, {Keys: "asynq:queues"}, {Channels: "refq:{*}:in:*"}, {Channels: "refq:{*}:wake:*"}},
			"not permitted: keys refq:{a}:*, asynq:queues; channels refq:{*}:in:*, refq:{*}:wake:*", "ACL SETUSER app &refq:* ~asynq:* ~refq:*"},
		{refused{{Keys: "a", Commands: many[:1]}, {Keys: "b", Commands: many[:1]}, {Keys: "c", Commands: many[:2]}, {Keys: "d", Commands: many[:1]}, {Keys: "e", Commands: many[:1]},
			{Keys: "f", Commands: many[:1]}, {Keys: "g", Commands: many[:1]}},
			"not permitted: A on a; A on b; A, B on c; A on d; A on e; and 2 more", "ACL SETUSER app +a +b"},
		{refused{{Commands: []string{"EVALSHA"}}, {Commands: []string{"SUBSCRIBE"}}},
			"not permitted: EVALSHA, SUBSCRIBE (look again then: without scripts no more could be tried)", "ACL SETUSER app +evalsha +subscribe"},
		{refused{{Reason: "READONLY You can't write against a read only replica."}},
			"Redis refuses to work: READONLY You can't write against a read only replica.", "use the master's address, or that of Sentinels that know it"},
		{refused{{Reason: "MISCONF Errors writing to the AOF file"}},
			"Redis refuses to work: MISCONF Errors writing to the AOF file", "look into Redis's log, and at its disk's free space"},
	} {
		h := healthy()
		h.Refused = c.refused
		require.Equal(t, monitor.Finding{ID: "permissions", Level: wrong, Fact: c.fact, Remedy: c.remedy}, finding(t, h, "permissions"))
		require.True(t, h.Wrong())
	}
}

const oom = "OOM command not allowed when used memory > 'maxmemory'."

func TestServerThatIsFullIsNamed(t *testing.T) {
	t.Parallel()
	h := healthy()
	for _, addr := range []string{"b:6379", "c:6379"} {
		s := h.Servers[0]
		s.Addr, s.MaxMemory = addr, map[string]int64{"b:6379": 50, "c:6379": 5000}[addr]
		h.Servers = append(h.Servers, s)
	}
	require.Equal(t, "b:6379: full, 50 B of 50 B used: new calls are refused, none starts, and outcomes wait in their workers", finding(t, h, "memory").Fact)
}

// A server may not tell that it is full, or count in another way: what it refuses shows it.
func TestWhatAFullRedisRefusesIsNoLackOfRights(t *testing.T) {
	t.Parallel()
	h := healthy()
	h.Refused = []monitor.Refusal{{Keys: "refq:{media}:*", Reason: oom}}
	require.Equal(t, monitor.Finding{ID: "memory", Level: wrong, Remedy: room, Fact: "Redis is full, as it says of keys refq:{media}:*: " +
		"new calls are refused, none starts, and outcomes wait in their workers"}, finding(t, h, "memory"))
	require.Equal(t, ok, finding(t, h, "permissions").Level)
	require.True(t, h.Wrong())

	h.Refused = append(h.Refused, monitor.Refusal{Keys: "refq:{media}:*", Commands: []string{"ZADD"}})
	require.Equal(t, "not permitted: ZADD on refq:{media}:*", finding(t, h, "permissions").Fact)
}

func TestWhatFollowsFromAFullRedisIsNotToldAsItsOwn(t *testing.T) {
	t.Parallel()
	h := healthy()
	h.Workers[0].Alive = false
	h.Queues[0] = monitor.QueueHealth{Name: "media", Pending: 2, OldestPending: time.Hour, Retrying: 1, Overdue: 1, OldestOverdue: time.Hour, Lost: 1,
		Waiting: []monitor.WaitingFunction{{Func: "thumb", Version: 2, Calls: 2}}}
	h.Gates = []monitor.GateState{{Queue: "media", Name: "g", Waiting: 1}}
	follow := []string{"workers", "unserved", "oldest_pending", "overdue", "leftovers", "gates"}
	facts := map[string]string{}
	for _, id := range follow {
		f := finding(t, h, id)
		require.Contains(t, []monitor.Level{warning, wrong}, f.Level, id)
		facts[id] = f.Fact
	}
	h.Servers[0].MaxMemory = h.Servers[0].UsedMemory
	for _, id := range follow {
		require.Equal(t, monitor.Finding{ID: id, Level: unknown, Fact: facts[id] + "; Redis is full, see memory"}, finding(t, h, id))
	}
	h.Pauses = []refcache.Pause{{Queue: "media"}}
	require.Equal(t, warning, finding(t, h, "paused").Level, "that has another cause")
}

func TestWhatCouldNotBeReadIsUnknown(t *testing.T) {
	t.Parallel()
	h := monitor.Health{Servers: healthy().Servers, Blind: "list queues: NOPERM"}
	for _, id := range []string{"workers", "unserved", "paused", "oldest_pending", "overdue", "leftovers"} {
		require.Equal(t, monitor.Finding{ID: id, Level: unknown, Fact: "could not be read, see permissions"}, finding(t, h, id))
	}
}

func TestFactsAboutQueuesAndWorkersAreJudged(t *testing.T) {
	t.Parallel()
	type health = monitor.Health
	waiting := func(f string, version, n int) []monitor.WaitingFunction {
		return []monitor.WaitingFunction{{Func: f, Version: version, Calls: n}}
	}
	for _, c := range []struct {
		id           string
		fault        func(h *health)
		level        monitor.Level
		fact, remedy string
	}{
		{"workers", func(h *health) { h.Workers = append(h.Workers, h.Workers[0]) }, ok, "2 alive, 6 running; echo@1, thumb@2", ""},
		{"workers", func(h *health) { h.Workers = nil }, warning, "no worker is alive", startOne},
		{"workers", func(h *health) { h.Workers[0].NotAsking = []string{"media"} }, warning,
			"1 alive, but not asking for work for more than 15 s: h-1-abc in media", "its log and its /readyz say why; if they do not, restart it"},
		{"workers", func(h *health) { h.Workers[0].Alive, h.Queues[0].Retrying = false, 2 }, wrong, "no worker is alive, and calls wait: 2", startOne},
		{"workers", func(h *health) { h.Workers[0].Alive, h.Queues[0].InLine = false, 3 }, wrong, "no worker is alive, and calls wait: 3", startOne},

		{"unserved", func(h *health) { h.Queues[0].Waiting = waiting("thumb", 2, 5) }, ok, "every pending or retrying call has a worker for its function", ""},
		{"unserved", func(h *health) { h.Queues[0].Partial = true }, ok, "every pending or retrying call has a worker for its function, as far as was looked", ""},
		{"unserved", func(h *health) { h.Queues[0].Waiting = waiting("thumb", 3, 5) }, wrong, "no worker for thumb@3 in queue media (calls: 5)",
			"start a worker with that function and version in that queue, or cancel the calls"},
		{"unserved", func(h *health) { h.Queues[0].Waiting, h.Workers[0].Alive = waiting("thumb", 2, 5), false }, wrong,
			"no worker for thumb@2 in queue media (calls: 5)", "start a worker with that function and version in that queue, or cancel the calls"},
		{"unserved", func(h *health) {
			h.Queues[0] = monitor.QueueHealth{Name: "b", Waiting: waiting("echo", 1, 1), Partial: true}
		}, wrong,
			"no worker for echo@1 in queue b (calls: 1), as far as was looked", "start a worker with that function and version in that queue, or cancel the calls"},
		{"unserved", func(h *health) { h.Queues[0].Waiting, h.Workers[0].Functions = waiting("new", 1, 1), nil }, ok,
			"every pending or retrying call has a worker for its function", ""},

		{"oldest_pending", func(h *health) { h.Queues[0].Pending, h.Queues[0].OldestPending = 3, time.Minute }, ok, "pending for 1m0s; pending in all: 3", ""},
		{"oldest_pending", func(h *health) {
			h.Queues = append(h.Queues, monitor.QueueHealth{Name: "b", Pending: 2, OldestPending: 90 * time.Second})
			h.Queues[0].Pending, h.Queues[0].OldestPending = 5, time.Second
		}, warning, "pending for 1m30s in queue b; pending there: 2", busy},

		{"oldest_pending", func(h *health) { h.Queues[0].Pending, h.Queues[0].OldestPending = 1, 71*time.Hour }, warning,
			"pending for 3 days in queue media; pending there: 1", busy},

		{"oldest_pending", func(h *health) {
			h.Queues[0].Pending, h.Queues[0].OldestPending, h.Pauses = 1, time.Hour, []refcache.Pause{{Queue: "media"}}
		}, warning, "pending for 1h0m0s in queue media; pending there: 1", "they may be what is paused; if not, " + busy},
		{"oldest_pending", func(h *health) {
			h.Queues[0].Pending, h.Queues[0].OldestPending, h.Pauses = 1, time.Hour, []refcache.Pause{{Queue: "other"}}
		}, warning, "pending for 1h0m0s in queue media; pending there: 1", busy},

		{"programs", func(h *health) {
			h.Workers[0].Functions = []string{"thumb@2"}
			h.Workers[0].NotReady = []monitor.UnreadyFunction{{Func: "thumb@2", Why: "no licence"}}
		}, wrong, "no worker can run thumb@2 on worker " + healthy().Workers[0].ID + ": no licence",
			"mend what the function needs there; its worker tries again by itself"},
		{"programs", func(h *health) {
			able := h.Workers[0]
			able.ID, able.Functions = "able", []string{"thumb@2"}
			h.Workers[0].Functions = []string{"thumb@2"}
			h.Workers[0].NotReady = []monitor.UnreadyFunction{{Func: "thumb@2", Why: "no licence"}}
			h.Workers = append(h.Workers, able)
		}, warning, "a worker cannot run what others can: thumb@2 on worker " + healthy().Workers[0].ID + ": no licence",
			"mend what the function needs there; its worker tries again by itself"},

		{"paused", func(h *health) {
			h.Pauses = []refcache.Pause{{Queue: "media", By: "ann", Reason: "release"}, {Func: "thumb"}}
		}, warning, "queue media is paused by ann: release; function thumb is paused", "when calls may start again: refq resume, as refq pauses names it"},
		{"paused", func(h *health) { h.Pauses = make([]refcache.Pause, 7) }, warning,
			strings.Repeat("queue  is paused; ", 5) + "and 2 more", "when calls may start again: refq resume, as refq pauses names it"},

		{"overdue", func(h *health) { h.Queues[0].Retrying = 4 }, ok, "no retry is late", ""},
		{"overdue", func(h *health) { h.Queues[0].Overdue, h.Queues[0].OldestOverdue = 4, 75*time.Second }, warning,
			"late retries: 4, by up to 1m15s in queue media", busy},

		{"leftovers", func(h *health) { h.Queues[0].Lost = 2 }, warning, "attempts of dead workers in queue media: 2",
			"wait 10 s: workers take them over; then look into the workers' logs"},
		{"leftovers", func(h *health) { h.Queues[0].Lost, h.Workers[0].Queues = 2, []string{"b"} }, wrong,
			"attempts of dead workers in queue media, and no worker that takes them over: 2", "start a worker of that queue: it takes them over"},
		{"leftovers", func(h *health) { h.Queues[0].Lost, h.Queues[0].Gone, h.Workers = 2, 1, nil }, wrong,
			"attempts of dead workers in queue media, and no worker that takes them over: 2; calls of queue media whose record is gone: 1",
			"call again; find out who evicts or deletes keys of Redis; start a worker of that queue: it takes them over"},
		{"leftovers", func(h *health) { h.Queues[0].Archived = 8_999 }, ok, "none", ""},
		{"leftovers", func(h *health) { h.Queues[0].Gone, h.Queues[0].Archived = 1, 9_000 }, warning,
			"calls of queue media whose record is gone: 1; asynq's archive of queue media is almost full: 9000",
			"call again; find out who evicts or deletes keys of Redis; delete archived tasks in asynq's web UI: refq needs none of them"},
	} {
		h := healthy()
		c.fault(&h)
		require.Equal(t, monitor.Finding{ID: c.id, Level: c.level, Fact: c.fact, Remedy: c.remedy}, finding(t, h, c.id))
		if c.level == wrong {
			require.True(t, h.Wrong())
		}
	}
}

func TestHealthJSONTellsFindingsAndFacts(t *testing.T) {
	t.Parallel()
	h := healthy()
	h.Refused = []monitor.Refusal{{Keys: "refq:queues", Commands: []string{"SADD"}}}
	h.Queues[0] = monitor.QueueHealth{Name: "media", Pending: 2, OldestPending: 1500 * time.Millisecond,
		Waiting: []monitor.WaitingFunction{{Func: "thumb", Version: 1, Calls: 2}}}
	h.Pauses = []refcache.Pause{{Queue: "media"}}
	text, err := json.Marshal(h)
	require.NoError(t, err)
	var parts map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &parts))
	var findings []map[string]any
	require.NoError(t, json.Unmarshal(parts["findings"], &findings))
	require.Len(t, findings, 17)
	require.Equal(t, map[string]any{"id": "redis_version", "level": "ok", "fact": "Redis 7.0.15", "remedy": nil}, findings[0])
	delete(parts, "findings")
	for name, want := range map[string]string{
		"wrong": `true`, "user": `"app"`, "blind": `null`, "namespace": `null`,
		"servers": `[{"addr":"a:6379","version":"7.0.15","valkey":null,"role":null,"replicas":null,"cluster":null,"in_memory":false,"eviction_policy":"noeviction","used_memory":50,"max_memory":null,"memory_uses":[],` +
			`"append_only":true,"snapshots":true,"save_error":null,"latency_seconds":0.00015,"clock_skew_seconds":-0.002}]`,
		"gates":   `[]`,
		"refused": `[{"keys":"refq:queues","channels":null,"commands":["SADD"],"reason":null,"node":null}]`, "missing": `[]`, "no_worker": `false`, "role": `null`,
		"queues": `[{"name":"media","in_line":0,"pending":2,"retrying":0,"processing":0,"partial":false,"waiting":[{"func":"thumb","version":1,"calls":2,"served":false}],` +
			`"oldest_pending_seconds":1.5,"oldest_processing_seconds":null,"overdue":0,"oldest_overdue_seconds":null,"gone":0,"lost":0,"archived":0}]`,
		"workers": `[{"id":"h-1-abc","host":"h","pid":1,"queues":["media"],"functions":["echo@1","thumb@2"],"since":"2025-11-24T16:00:00.000Z",` +
			`"last_beat":"2025-11-24T16:01:00.000Z","silent_seconds":1,"alive":true,"running":3,"not_asking":[],"oldest":[],"not_ready":[]}]`,
		"pauses": `[{"queue":"media","func":null,"gate":null,"key":null,"by":null,"at":null,"until":null,"reason":null}]`,
	} {
		require.Equal(t, want, string(parts[name]), name)
		delete(parts, name)
	}
	require.Empty(t, parts)
}
