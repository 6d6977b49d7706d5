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

// assemble makes the text that Redis gets of a script: before its own, what it uses of lib.lua and nothing else, with
// constants as their values. Redis runs all of it each time, and making what is not used, or named but constant, would take
// most of a short script's time.
func assemble(name string) string {
	body := code(source(name))
	if strings.HasSuffix(name, "_short") { // which is short because it stands alone
		return noRide + told(name, body)
	}
	return told(name, used(definitions(code(source("lib"))), body)+body)
}

// told is a script's text with its constants.
func told(name, text string) string {
	values := constants(name, read(text))
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

// place is the name of the constant for the place of a word, or of a field.
func place(name string) string { return strings.ToUpper(name) }

// read returns the fields that a script with this text reads: the public ones, and of the others those that it names.
func read(text string) []string {
	words := word.FindAllString(text, -1)
	return slices.Concat(fields, slices.DeleteFunc(slices.Clone(privateFields), func(field string) bool {
		return !slices.Contains(words, place(field))
	}))
}

// format names the form of a record in messages.
var format = fmt.Sprintf("%08x", crc32.ChecksumIEEE(fmt.Append(nil, fields, stateWords, policyWords)))

// constants are what a script that reads these fields is told once, in its text.
func constants(script string, read []string) map[string]string {
	all := map[string]string{}
	define := func(name string, value any) { all[name] = fmt.Sprint(value) }
	for i, field := range read {
		define(place(field), i+1)
	}
	for i, w := range stateWords {
		define(place(w.name), i+1)
	}
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
	define("STATUSES", "("+luaStatuses()+")")

	d := refcache.Defaults
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
	define("TOO_MANY_DIGITS", "'"+strings.Repeat("%d", mostDigits+1)+"'")
	define("SHORT_POLICY", mostDigits+len(policyWords)-1) // no number of a shorter one has too many digits
	define("DOT", '.')
	define("SUSPECT_FROM", SuspectFrom)
	define("SUSPECT_LATER", suspectLater.Milliseconds())
	define("NEWER_LATER", newerLater.Milliseconds())
	return all
}

func luaTexts(texts []string) string {
	return "'" + strings.Join(texts, "', '") + "'"
}

// luaLacking writes neededFields as a chain of tests: what a record with a status lacks, false if nothing, nil if there is no
// such status. finish looks for nothing that it does not read: the outcome of a call whose arguments are gone is as good as any.
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
