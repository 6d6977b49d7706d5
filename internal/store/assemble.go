package store

import (
	"embed"
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"strings"

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

// assemble makes the text that Redis gets of a script: before its own, what it uses of the constants and of lib.lua, and
// nothing else. Redis runs all of it each time, and making what is not used would take most of a short script's time.
func assemble(name string) string {
	body := code(source(name))
	library := used(definitions(code(source("lib"))), body)
	text := library + body
	return used(constants(name, read(text)), text) + text
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

// definitions splits a library into its definitions: an empty line stands between two.
func definitions(library string) []definition {
	var all []definition
	for text := range strings.SplitSeq(library, "\n\n") {
		text = strings.Trim(text, "\n") + "\n"
		names := definedNames.FindStringSubmatch(text)
		if names == nil {
			panic(fmt.Sprintf("this defines nothing: %s", text))
		}
		all = append(all, definition{word.FindAllString(names[1], -1), text})
	}
	return all
}

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

// place is the name of the constant for the place of a field.
func place(field string) string { return strings.ToUpper(field) }

// read returns the fields that a script with this text reads: the public ones, and of the others those that it names.
func read(text string) []string {
	words := word.FindAllString(text, -1)
	return slices.Concat(fields, slices.DeleteFunc(slices.Clone(privateFields), func(field string) bool {
		return !slices.Contains(words, place(field))
	}))
}

// format names the form of a record in messages.
var format = fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(strings.Join(fields, " "))))

// constants are what a script that reads these fields is told once, in its text.
func constants(script string, read []string) []definition {
	var all []definition
	define := func(name string, value any) {
		all = append(all, definition{[]string{name}, fmt.Sprintf("local %s = %v\n", name, value)})
	}
	for i, field := range read {
		define(place(field), i+1)
	}
	define("FIELDS", luaList(read))
	define("PUBLIC", len(fields))
	define("WHOLES", len(wholeFields))
	define("DECIMALS", len(decimalFields))
	define("POLICY", luaPlaces(policyFields))
	all = append(all, definition{[]string{"needed"}, luaNeeded(read)})
	define("FORMAT", "'"+format+"'")
	define("FROM", luaFrom(script))
	define("STATUSES", luaStatuses())

	d := refcache.Defaults
	define("DEFAULT_NS", "'"+refcache.DefaultNamespace+"'")
	define("DEFAULT_MAX_RETRIES", d.MaxRetries)
	define("DEFAULT_TTL", d.TTL.Milliseconds())
	define("DEFAULT_FAILURE_TTL", d.FailureTTL.Milliseconds())
	define("MAX_LOST", refcache.MaxLost)
	define("DEAD_AFTER", DeadAfter.Milliseconds())
	define("HISTORY", historyLength)
	define("SWEEP_EVERY", sweepEvery.Milliseconds())
	define("SWEEP_TIDY", sweepTidy)
	define("SWEEP_GAP", sweepGap.Milliseconds())
	define("PENDING_TOO_LONG", pendingTooLong.Milliseconds())
	define("OVERDUE_TOO_LONG", overdueTooLong.Milliseconds())
	define("COMPLETIONS", completions)
	define("MOST_WAITERS", mostWaiters)
	define("PUSH_MOST", pushMost)
	define("RECORD_VERSION", recordVersion)
	define("MOST_DIGITS", mostDigits)
	define("SUSPECT_FROM", SuspectFrom)
	define("SUSPECT_LATER", suspectLater.Milliseconds())
	define("NEWER_LATER", newerLater.Milliseconds())
	return all
}

func luaList(texts []string) string {
	return "{'" + strings.Join(texts, "', '") + "'}"
}

func luaPlaces(names []string) string {
	var places []string
	for _, name := range names {
		places = append(places, fmt.Sprint(slices.Index(fields, name)+1))
	}
	return "{" + strings.Join(places, ", ") + "}"
}

// luaNeeded writes neededFields as a function of status: places of fields that the script reads, names of others.
func luaNeeded(read []string) string {
	var b strings.Builder
	b.WriteString("local function needed(status)\n")
	for _, status := range refcache.Statuses {
		var list []string
		for _, name := range neededFields[status] {
			if i := slices.Index(read, name); i >= 0 {
				list = append(list, fmt.Sprint(i+1))
			} else {
				list = append(list, "'"+name+"'")
			}
		}
		fmt.Fprintf(&b, "  if status == '%s' then return {%s} end\n", status, strings.Join(list, ", "))
	}
	b.WriteString("end\n")
	return b.String()
}
