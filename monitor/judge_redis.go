package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/refq/refq/internal/remedy"
)

const (
	// slowTrip: a call is about six trips to Redis, one after another; beyond this people feel them.
	slowTrip = 50 * time.Millisecond
	// hangingTrip: a beat is given 3 s, which it shares with a new connection, and a worker that has not beaten for 6 s
	// counts as dead.
	hangingTrip = time.Second
	// clocksApart: asynq's unit is the second. Less makes no difference.
	clocksApart = time.Second
)

func judgeVersion(s ServerHealth) Finding {
	if s.InMemory {
		return fine("the in-memory Redis of refq dev")
	}
	var major, minor int
	if n, _ := fmt.Sscanf(s.Version, "%d.%d", &major, &minor); n < 2 {
		return LevelUnknown.of("make sure that it is 6.2 or newer, and permit INFO", "Redis does not tell its version")
	}
	if major < 6 || major == 6 && minor < 2 {
		return LevelWrong.of("update Redis, best to 7 or newer", "Redis %s is too old: asynq needs 6.2 or newer", s.Version)
	}
	if s.Valkey != "" {
		return fine("Valkey %s, as Redis %s", s.Valkey, s.Version)
	}
	return fine("Redis %s", s.Version)
}

func judgeEviction(s ServerHealth) Finding {
	const remedy = "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf"
	switch {
	case s.InMemory:
		return fine("it never evicts")
	case s.EvictionPolicy == "":
		return LevelUnknown.of("make sure that maxmemory-policy is noeviction, and permit INFO", "Redis does not tell its maxmemory-policy")
	case s.EvictionPolicy != "noeviction" && s.MaxMemory > 0:
		return LevelWrong.of(remedy, "maxmemory-policy is %s: when memory is full, calls and results vanish", s.EvictionPolicy)
	case s.EvictionPolicy != "noeviction":
		return LevelWarning.of(remedy, "maxmemory-policy is %s: once a maxmemory is set, calls may vanish", s.EvictionPolicy)
	}
	return fine("noeviction")
}

func judgePersistence(s ServerHealth) Finding {
	const remedy = "CONFIG SET appendonly yes, and the same in redis.conf"
	switch {
	case s.InMemory:
		return LevelWarning.of("start a redis-server for more than trying things out", "in memory: all calls are gone when refq dev ends")
	case s.SaveError != "":
		return LevelWrong.of("look into Redis's log, and at its disk's free space", "Redis cannot save: %s", s.SaveError)
	case s.AppendOnly == nil:
		return LevelUnknown.of("make sure that appendonly is on, and permit INFO", "Redis does not tell whether it saves")
	case *s.AppendOnly:
		return fine("append-only file")
	case s.Snapshots == nil:
		return LevelUnknown.of("ask its operator what a crash may cost", "no append-only file; Redis does not tell whether it takes snapshots")
	case *s.Snapshots:
		return LevelWarning.of(remedy, "snapshots only: a crash loses the calls since the last one")
	}
	return LevelWarning.of(remedy, "nothing is saved: a restart of Redis loses all calls and results")
}

func judgeLatency(s ServerHealth) Finding {
	switch {
	case s.Latency == nil:
		return LevelUnknown.of("", "could not be measured, see permissions")
	case *s.Latency >= hangingTrip:
		return LevelWrong.of("look at Redis's load, SLOWLOG and the network", "%s a trip: workers may be taken for dead", roughly(*s.Latency))
	case *s.Latency >= slowTrip:
		return LevelWarning.of("bring workers and Redis closer, or look at Redis's load and SLOWLOG",
			"%s a trip; a call takes about six", roughly(*s.Latency))
	}
	return fine("%s a trip", roughly(*s.Latency))
}

func judgeClock(s ServerHealth) Finding {
	if s.ClockSkew == nil {
		return LevelUnknown.of("", "could not be measured, see permissions")
	}
	word, apart := "ahead of", *s.ClockSkew
	if apart < 0 {
		word, apart = "behind", -apart
	}
	if apart > clocksApart {
		return LevelWarning.of("synchronise the clocks (NTP)",
			"this host's clock is %s %s Redis's: a worker here may start retries that much late", roughly(apart), word)
	}
	if apart <= time.Millisecond {
		return fine("this host's clock and Redis's agree within 1ms")
	}
	return fine("this host's clock is %s %s Redis's", roughly(apart), word)
}

// roughly is a duration for people.
func roughly(d time.Duration) string {
	unit := time.Second
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	case d < 10*time.Millisecond:
		unit = 10 * time.Microsecond
	case d < time.Second:
		unit = time.Millisecond
	case d < 10*time.Second:
		unit = 100 * time.Millisecond
	}
	return d.Round(unit).String()
}

// permissions judges what Redis refuses.
func (h Health) permissions() Finding {
	refused := slices.DeleteFunc(slices.Clone(h.Refused), func(r Refusal) bool { return strings.Contains(r.Reason, saysFull) }) // see memory
	if len(refused) == 0 {
		switch {
		case h.NoWorker:
			return fine("all is permitted but what only workers need")
		case h.Role != "" && h.Role != "all":
			return fine("what the role %s needs is permitted", h.Role)
		}
		return fine("scripts, commands, keys and channels are permitted")
	}
	var bare, keys, channels, partly []string
	bareAt := ""
	for _, r := range refused {
		switch {
		case r.Reason != "":
			return LevelWrong.of(cmp.Or(remedy.OfAnswer(r.Reason), "look into Redis's log"), "%s refuses to work: %s", cmp.Or(r.Node, "Redis"), r.Reason)
		case len(r.Commands) == 0 && r.Channels != "":
			channels = append(channels, r.Channels+r.at())
		case len(r.Commands) == 0:
			keys = append(keys, r.Keys+r.at())
		case r.Keys == "":
			bare = append(bare, r.Commands...)
			bareAt = cmp.Or(bareAt, r.at())
		default:
			partly = append(partly, named(r.Commands)+" on "+r.Keys+r.at())
		}
	}
	var facts []string
	if len(bare) > 0 {
		facts = append(facts, strings.Join(bare, ", ")+bareAt)
	}
	if len(keys) > 0 {
		facts = append(facts, "keys "+named(keys))
	}
	if len(channels) > 0 {
		facts = append(facts, "channels "+named(channels))
	}
	facts = append(facts, partly...)
	if more := len(facts) - maxNamed; more > 1 {
		facts = append(facts[:maxNamed], fmt.Sprintf("and %d more", more))
	}
	untried := ""
	if slices.Contains(bare, "EVAL") || slices.Contains(bare, "EVALSHA") {
		untried = " (look again then: without scripts no more could be tried)"
	}
	return LevelWrong.of(h.aclLine(), "not permitted: %s%s", strings.Join(facts, "; "), untried)
}

// at names the node that refuses it, if not all do.
func (r Refusal) at() string {
	if r.Node == "" {
		return ""
	}
	return " at " + r.Node
}

// aclLine is a command for Redis's administrator. It permits all keys of a family, since queues come and go.
func (h Health) aclLine() string {
	const most = 8
	var patterns, commands []string
	for _, r := range h.Refused {
		for _, c := range r.Commands {
			commands = append(commands, "+"+strings.ToLower(c))
		}
		switch {
		case len(r.Commands) > 0:
		case r.Channels != "":
			patterns = append(patterns, "&refq:*")
		case strings.HasPrefix(r.Keys, "asynq:"):
			patterns = append(patterns, "~asynq:*")
		default:
			patterns = append(patterns, "~refq:*")
		}
	}
	slices.Sort(patterns)
	slices.Sort(commands)
	if commands = slices.Compact(commands); len(commands) > most {
		commands = []string{"+@all", "-@dangerous", "+info"}
	}
	return strings.Join(slices.Concat([]string{"ACL SETUSER", cmp.Or(h.User, "USER")}, slices.Compact(patterns), commands), " ")
}
