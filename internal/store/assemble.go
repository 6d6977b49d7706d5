package store

import (
	"embed"
	"fmt"
	"hash/crc32"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/refcache"
)

//go:embed lua/*.lua
var sources embed.FS

func source(name string) string {
	text, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // a script that is named in scripts.go and not there
	}
	return string(text)
}

// fullPath is the line of a script at which its fast path ends.
const fullPath = "FULL_PATH\n"

// assemble returns the text of a script as Redis gets it: constants as their values, no comments, and before the
// script's own text the definitions of lib.lua that it uses. Redis runs the whole text each time. Definitions that are
// not used, and named constants, would take most of a short script's time.
//
// In a script with a fast path the library follows that path, so that a call which ends there makes none of the
// library's functions. The fast path runs its piggyback when there is one: see withPiggyback.
func assemble(name string) string {
	fast, full := paths(name)
	if fast == "" {
		return full
	}
	return noPiggyback + fast + tryFast + inFunction(full)
}

// paths returns the fast path of a script, empty if it has none, and its full path.
func paths(name string) (fast, full string) {
	body := code(source(name))
	if before, after, found := strings.Cut(body, fullPath); found {
		fast, body = withConstants(name, before), after
	}
	return fast, withConstants(name, used(library(), body)+body)
}

// tryFast runs the fast path, and goes on when that has declined.
const tryFast = `
local answer = fast(KEYS, ARGV, piggyback)
if answer then
  return answer
end
`

// inFunction returns a full path as a function of its own, which is made when it is called. Its many local variables would
// otherwise be part of the main function, and Lua sets room for all of them aside, and clears it, for a plain call, too.
func inFunction(full string) string { return "return (function()\n" + full + "end)()\n" }

// noPiggyback stands before a script that runs without a piggyback.
const noPiggyback = "local piggyback\n"

// assembled identifies a script that was made from one of ours and a script of somebody else's.
type assembled struct{ name, foreign string }

// assembledScripts are kept for the life of the program: their number is that of asynq's scripts.
var assembledScripts sync.Map // assembled -> func() *redis.Script

// withPiggyback returns the script of that name with a piggyback behind its fast path, and what to run it with. Without
// a piggyback these are plain and own.
func withPiggyback(name string, plain func() *redis.Script, p *script.Piggyback, own script.Use) (*redis.Script, script.Use) {
	if p == nil {
		return plain(), own
	}
	carrying := assembleOnce(&assembledScripts, name, p.Text, func() string {
		fast, full := paths(name)
		return function("piggyback", p.Text, own) + fast + tryFast + inFunction(full)
	})
	return carrying, p.AppendTo(own)
}

// taking returns the text of the script dequeue_and_claim for workers that know these names, with scripts of the queue.
func taking(known []string, from Doorbells, own script.Use) string {
	const name = "dequeue_and_claim"
	claim, _, _ := strings.Cut(code(source("claim")), fullPath)
	fast, full, _ := strings.Cut(strings.Replace(code(source(name)), "FAST_CLAIM\n", claim, 1), "WITH_LIBRARY\n")
	fast = strings.Replace(withConstants("claim", fast), "KNOWN", "',"+strings.Join(known, ",")+",'", 1)
	return function("dequeue", from.Dequeue.Text, own) + function("drop_gone", from.DropGone, own) +
		function("set_aside", from.SetAside, own, "id", "list") + fast + inFunction(withConstants(name, used(library(), full)+full))
}

// assembleOnce keeps a script from its first use on. Who needs it meanwhile waits: a process that begins with a thousand calls at
// once would otherwise assemble it for each.
func assembleOnce(kept *sync.Map, name, foreign string, text func() string) *redis.Script {
	made := assembled{name, foreign}
	once, ok := kept.Load(made)
	if !ok {
		once, _ = kept.LoadOrStore(made, sync.OnceValue(func() *redis.Script { return named(name, text()) }))
	}
	return once.(func() *redis.Script)()
}

// function is a Lua function that runs a script whose keys and arguments stand behind own. What it is called with has the names
// given.
func function(name, text string, own script.Use, with ...string) string {
	return fmt.Sprintf("local function %s(%s)\nlocal KEYS, ARGV = {unpack(KEYS, %d)}, {unpack(ARGV, %d)}\n%s\nend\n",
		name, strings.Join(with, ", "), len(own.Keys)+1, len(own.Args)+1, strings.TrimSpace(text))
}

// withConstants returns a text of a script with the values of its constants.
func withConstants(name, text string) string {
	values := constants(name, fieldsNamedIn(text))
	return word.ReplaceAllStringFunc(text, func(w string) string {
		if value, ok := values[w]; ok {
			return value
		}
		return w
	})
}

var comment = regexp.MustCompile(`(?m)^[ \t]*--.*\n`)

func code(text string) string { return comment.ReplaceAllString(text, "") }

// definition is a piece of Lua that defines names.
type definition struct {
	names []string
	text  string
}

var (
	definedNames = regexp.MustCompile(`^local (?:function )?([\w, ]+?)(?:\(| =)`)
	word         = regexp.MustCompile(`\w+`)
)

// library returns the definitions of lib.lua, where an empty line stands between two; gates.lua as one function; and those of turns.lua,
// which use it.
var library = sync.OnceValue(func() []definition {
	var all []definition
	gates := strings.ReplaceAll(strings.TrimSpace(code(source("gates"))), "\n\n", "\n")
	texts := append(strings.Split(code(source("lib")), "\n\n"), "local function gates()\n"+gates+"\nend")
	for _, text := range append(texts, strings.Split(code(source("turns")), "\n\n")...) {
		text = strings.Trim(text, "\n") + "\n"
		if text == "\n" {
			continue
		}
		names := definedNames.FindStringSubmatch(text)
		if names == nil {
			panic(fmt.Sprintf("this defines nothing: %s", text))
		}
		all = append(all, definition{word.FindAllString(names[1], -1), text})
	}
	return all
})

// used returns the definitions that a text uses, and what these use, in their order.
func used(all []definition, text string) string {
	words := map[string]bool{}
	add := func(text string) {
		for _, w := range word.FindAllString(text, -1) {
			words[w] = true
		}
	}
	add(text)
	kept := ""
	for _, d := range slices.Backward(all) {
		if slices.ContainsFunc(d.names, func(name string) bool { return words[name] }) {
			add(d.text)
			kept = d.text + kept
		}
	}
	return kept
}

// fieldConstant is the name of the constant for the position of a field, or of a word in the field state.
func fieldConstant(name string) string { return strings.ToUpper(name) }

// fieldsNamedIn returns the fields that a script with this text reads: all public ones, and those private ones that it
// names.
func fieldsNamedIn(text string) []string {
	words := word.FindAllString(text, -1)
	return slices.Concat(fields, slices.DeleteFunc(slices.Clone(privateFields), func(field string) bool {
		versioned := neededVersions[field] > 0 && slices.Contains(words, "NEEDED_V")
		return !versioned && !slices.Contains(words, fieldConstant(field))
	}))
}

// format names the form of a record in messages.
var format = fmt.Sprintf("%08x", crc32.ChecksumIEEE(fmt.Append(nil, fields, stateWords, policyWords)))

// constants are what a script that reads these fields is told once, in its text.
func constants(script string, read []string) map[string]string {
	all := map[string]string{}
	define := func(name string, value any) { all[name] = fmt.Sprint(value) }
	for i, field := range read {
		define(fieldConstant(field), i+1)
	}
	for i, w := range stateWords {
		define(fieldConstant(w.name), i+1)
	}
	for i, w := range resultFromWords {
		define(fieldConstant(w.name), i+1)
	}
	define("RESULT_FROM_FORM", "'"+resultFromForm+"'")
	define("RESULT_FROM_WORDS", "{"+luaTexts(resultFromWords.names())+"}")
	define("RESULT_FROM_KINDS", "'"+resultFromWords.kinds()+"'")
	define("NEEDED_V", luaNeededVersion(read))
	define("MAX_AGE", len(refcache.FailureKinds)+2) // behind what is started anew, and the kinds of failures
	define("FRESH", len(refcache.FailureKinds)+3)
	define("FAILURE_PLACES", luaFailurePlaces())
	define("FAILURE_DEFAULTS", luaFailureDefaults())
	define("FIELDS", luaTexts(read))
	define("STATE_FORM", "'"+stateForm+"'")
	define("WORDS_FORM", "'"+wordsForm+"'")
	define("POLICY_FORM", "'"+policyForm+"'")
	define("COMPLETE_FORM", "'"+completeForm+"'")
	define("PENDING_FORM", "'"+pendingForm+"'")
	define("PROCESSING_FORM", "'"+processingForm+"'")
	define("STATE_WORDS", "{"+luaTexts(stateWords.names())+"}")
	define("STATE_KINDS", "'"+stateWords.kinds()+"'")
	define("POLICY_WORDS", "{"+luaTexts(policyWords.names())+"}")
	define("POLICY_KINDS", "'"+policyWords.kinds()+"'")
	define("BLANK", "{"+strings.Repeat("'', ", len(stateWords))+"}")
	define("LACKING", luaLacking(script, read))
	define("FORMAT", "'"+format+"'")
	define("FROM", "("+luaFrom(script)+")")
	define("STATUSES", "("+luaStatuses(func(refcache.Status) bool { return true })+")")
	define("IN_FLIGHT", "("+luaStatuses(refcache.Status.InFlight)+")")

	d := refcache.Defaults
	define("DEFAULT_MAX_RETRIES", d.MaxRetries)
	define("DEFAULT_TTL", d.TTL.Milliseconds())
	define("DEFAULT_FAILURE_TTL", d.FailureTTL.Milliseconds())
	define("MAX_LOST", refcache.MaxLost)
	define("DEAD_AFTER", DeadAfter.Milliseconds())
	define("DECLARED_FOR", declaredFor.Milliseconds())
	define("HAND_ON_FOR", handOnFor.Milliseconds())
	define("HISTORY", historyLength)
	define("SWEEP_EVERY", sweepEvery.Milliseconds())
	define("SWEEP_TIDY", sweepTidy)
	define("SWEEP_GAP", sweepGap.Milliseconds())
	define("PENDING_TOO_LONG", pendingTooLong.Milliseconds())
	define("OVERDUE_TOO_LONG", overdueTooLong.Milliseconds())
	define("COMPLETIONS", completions)
	define("MAX_WAITERS", maxWaiters)
	define("MAX_PUSH", maxPush)
	define("RECORD_VERSION", RecordVersion)
	define("MAX_DIGITS", maxDigits)
	define("TOO_MANY_DIGITS", "'"+strings.Repeat("%d", maxDigits+1)+"'")
	define("SHORT_POLICY", maxDigits+len(policyWords)-1) // no number of a shorter one has too many digits
	define("STAMPS_KEPT", stampsKept.Milliseconds())
	define("DROP_STAMPS", dropStamps)
	define("MAX_STAMPS", maxStamps)
	define("TERMS_FORM", "'"+termsForm+"'")
	define("DEFAULT_VERSION", refcache.Defaults.Version)
	define("MAX_ASIDE", maxAside)
	define("WAKE_ASIDE", wakeAside)
	define("MAX_UNHEARD", maxUnheard)
	define("LOOKED_AT", lookedAt)
	define("NAMED", namedOfThese)
	define("LISTS_NAMED", listsNamed)
	define("UNSERVED_AFTER", unservedAfter.Milliseconds())
	define("NUMBERS_FORM", "'"+numbersForm+"'")
	define("TURN_FORM", "'"+turnForm+"'")
	define("FIELD_RESULT_FROM", "'result_from'") // by its name it would bring in what reads it
	define("V_TURN", fmt.Sprintf("'%d'", neededVersions["turn"]))
	define("V_RESULT_FROM", neededVersions["result_from"])
	define("ALL_SLOTS", AllSlots)
	define("ROOM_FOR", roomFor.Milliseconds())
	define("CALLS_LOOKED", callsLooked)
	define("KEYS_COUNTED", keysCounted)
	define("KEYS_LOOKED", keysLooked)
	define("SHARES_LOOKED", sharesLooked)
	define("HELD_LOOKED", heldLooked)
	define("MIN_SLOTS", minSlots)
	define("MORE_SLOTS", moreSlots)
	define("MAX_GATES", maxGates)
	define("MAX_WAITING_KEYS", maxWaitingKeys)
	define("ADMITTED_FOR", admittedFor.Milliseconds())
	define("LATE_FOR", lateFor.Microseconds())
	define("TELL_DUE", TellDue.Milliseconds())
	define("DUE_TRIED", dueTried)
	define("MAX_LET_IN", maxLetIn)
	define("CLOSED_KEPT", closedKept.Milliseconds())
	define("SEEN_AGAIN", seenAgain.Milliseconds())
	define("GATE_KEPT", gateKept.Milliseconds())
	define("SHARES_TOLD", sharesTold)
	define("SLOTS_COUNTED", slotsCounted)
	define("COUNT_SLOTS_EVERY", countSlotsEvery.Milliseconds())
	define("COMMA", ',')
	define("DOT", '.')
	define("ZERO", '0')
	define("SUSPECT_FROM", SuspectFrom)
	define("SUSPECT_LATER", suspectLater.Milliseconds())
	define("PAUSED_LATER", pausedLater.Milliseconds())
	define("NEWER_LATER", newerLater.Milliseconds())
	return all
}

func luaTexts(texts []string) string {
	return "'" + strings.Join(texts, "', '") + "'"
}

// luaNeededVersion writes neededVersions as an expression: the highest of those that the fields present need, as text.
func luaNeededVersion(read []string) string {
	expression := "''"
	for _, field := range slices.SortedFunc(maps.Keys(neededVersions), func(a, b string) int { return neededVersions[a] - neededVersions[b] }) {
		expression = fmt.Sprintf("stored[%d] and '%d' or %s", slices.Index(read, field)+1, neededVersions[field], expression)
	}
	return "(" + expression + ")"
}

// luaFailurePlaces writes at which place each kind of failure stands in what a submission says of them.
func luaFailurePlaces() string {
	var b strings.Builder
	for i, kind := range refcache.FailureKinds {
		fmt.Fprintf(&b, "%s = %d, ", kind, i+1)
	}
	return "({" + b.String() + "})"
}

// luaFailureDefaults writes for how many ms a failure answers, in the same order.
func luaFailureDefaults() string {
	var b strings.Builder
	for _, kind := range refcache.FailureKinds {
		fmt.Fprintf(&b, "%d, ", refcache.Defaults.FailureAnswer.Of(kind).Milliseconds())
	}
	return "({" + b.String() + "})"
}

// luaLacking writes neededFields as a chain of tests: what a record with a status lacks, false if nothing, nil if there
// is no such status. finish looks for nothing that it does not read: the outcome of a call whose arguments are gone is
// as good as any.
func luaLacking(script string, read []string) string {
	var b strings.Builder
	for _, status := range refcache.Statuses {
		fmt.Fprintf(&b, "  if status == '%s' then return ", status)
		for _, name := range neededFields[status] {
			if i := stateWords.place(name); i >= 0 {
				fmt.Fprintf(&b, "task[%d] == '' and '%s' or ", i+1, name)
			} else if i := slices.Index(read, name); i >= 0 {
				fmt.Fprintf(&b, "not stored[%d] and '%s' or ", i+1, name)
			} else if script != "finish" || status != refcache.Processing {
				fmt.Fprintf(&b, "redis.call('HEXISTS', record, '%s') == 0 and '%s' or ", name, name)
			}
		}
		b.WriteString("false end\n")
	}
	return strings.TrimSpace(b.String())
}
