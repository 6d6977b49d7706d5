package store

import (
	"regexp"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/refcache"
)

// Stamps are few here, so that every test that sets some meets the floor.
func init() { maxStamps = MaxStamps }

// MaxStamps is how many stamps a queue keeps in the tests.
const MaxStamps = 3

// Transition is one row of the state machine's table, for the conformance suite.
type Transition struct {
	Script   string
	From, To refcache.Status // empty: no record
}

// Transitions returns the state machine's table.
func Transitions() []Transition {
	var table []Transition
	for _, t := range transitions {
		table = append(table, Transition{t.script, t.from, t.to})
	}
	return table
}

// Fields are what readers of a record ask for.
var Fields = fields

// What a record must look like.
var NeededFields = neededFields

// WordsOf returns the words of the packed fields that are whole numbers, or numbers with a fraction.
func WordsOf(k string) []string {
	var names []string
	for _, w := range slices.Concat(stateWords, policyWords) {
		if string(w.kind) == k {
			names = append(names, w.name)
		}
	}
	return names
}

// TryPermissions makes the Store find out about permissions as it must before Redis 7, until the test ends: by trying.
func TryPermissions(cleanup func(func())) {
	asking := permittedScript
	edited := redis.NewScript("local redis = setmetatable({acl_check_cmd = false}, {__index = redis})\n" + source("permitted"))
	permittedScript = func() *redis.Script { return edited }
	cleanup(func() { permittedScript = asking })
}

// ScriptSources returns the text of every script, by name.
func ScriptSources() map[string]string {
	texts := map[string]string{}
	entries, err := sources.ReadDir("lua")
	if err != nil {
		panic(err)
	}
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), ".lua")
		texts[name] = source(name)
	}
	return texts
}

// HasFastPath reports whether a script has a fast path.
func HasFastPath(name string) bool {
	fast, _ := paths(name)
	return fast != ""
}

// PathsOf returns the text of a script with a fast path as it is, and without that path. In both, Redis's clock stands
// at a time, in Lua; the first runs counting when its fast path has answered.
func PathsOf(name, time, counting string) (whole, full string) {
	fast, full := paths(name)
	stopped := func(text string) string {
		return regexp.MustCompile(`\b(redis\.)?call\('TIME'\)`).ReplaceAllLiteralString(text, time)
	}
	counted := strings.Replace(tryFast, "  return answer\n", "  "+counting+"\n  return answer\n", 1)
	return stopped(noPiggyback + fast + counted + inFunction(full)), stopped(noPiggyback + full)
}

// Assembled is the text of a script as Redis gets it.
var Assembled = assemble

// OpenSlots reads what CLUSTER NODES tells.
var OpenSlots = openSlots
