// Package errpattern groups failed calls whose errors say the same but for what varies from call to call: addresses, ids,
// numbers, what stands in quotes.
package errpattern

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/refq/refq/refcache"
)

// Varying stands in a [Pattern] for what varies.
const Varying = "…"

const (
	maxGroups  = 1000 // that are kept apart, however many there are
	maxPattern = 300  // bytes of a pattern
)

// codes are numbers that say what went wrong, not where: they stay.
const codes = `(?i:\b(?:status|code|exit|http|errno|error|signal)(?:\s+code)?[\s:=(]*\d{1,3}\b)|\b[1-5]\d\d [A-Z]`

var (
	code  = regexp.MustCompile(`^(?:` + codes + `)$`)
	parts = regexp.MustCompile(codes +
		`|"(?:[^"\\]|\\.)*"` + // quoted
		`|\b(?:0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]*(?:-[0-9a-fA-F]+)+\b` + // a UUID, a date
		`|\b(?:0x[0-9a-fA-F]+|[0-9a-fA-F]{8,})\b` + // a hash
		`|\d+(?:[.,:]\d+)*`) // a number, a time, an address
)

// Line is the line of an error that says what happened: the first; of Python's, which begin with the stack, the last.
func Line(text string) string {
	text = strings.TrimSpace(text)
	line, _, more := strings.Cut(text, "\n")
	if more && strings.Contains(line, "Traceback (most recent call last)") {
		line = text[strings.LastIndex(text, "\n"):]
	}
	return strings.TrimSpace(line)
}

// Pattern is the [Line] of an error with [Varying] in place of what varies. Errors of one Pattern are alike. It has 300
// bytes at most.
func Pattern(text string) string {
	line := cut(Line(text), 4*maxPattern) // what varies is mostly longer than what stands for it
	line = parts.ReplaceAllStringFunc(line, func(part string) string {
		switch {
		case code.MatchString(part), !strings.ContainsAny(part, `0123456789"`): // "defaced" is a word
			return part
		case part[0] == '"':
			return `"` + Varying + `"`
		}
		return Varying
	})
	return cut(line, maxPattern)
}

// Piece is the longest text that all errors of a pattern have in them: what a filter by error may ask for. It does not
// reach into any of the texts given, which stand for something else. Empty: there is none of use.
func Piece(pattern string, except ...string) string {
	const least = 4
	for _, text := range except {
		pattern = strings.ReplaceAll(pattern, text, Varying)
	}
	best := ""
	for piece := range strings.SplitSeq(pattern, Varying) {
		if piece = strings.TrimSpace(piece); len(piece) > len(best) {
			best = piece
		}
	}
	if len(best) < least {
		return ""
	}
	return best
}

// cut shortens a text to so many bytes of whole characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// Group is the calls of a function whose errors are alike.
type Group struct {
	Func   string
	Error  string // their Pattern
	Calls  int
	Latest time.Time // the last that ended; zero when none of them tells
}

type key struct{ function, pattern string }

// Groups counts failures. The zero Groups has none.
type Groups struct {
	groups map[key]Group
	Others int // calls of groups beyond the first 1,000
}

// Unreadable is the Error of those whose records cannot be read.
const Unreadable = "unreadable record"

// Add counts a call.
func (g *Groups) Add(info refcache.TaskInfo) {
	k := key{info.Func, Pattern(info.LastError)}
	if info.Unreadable != "" {
		k.pattern = Unreadable
	}
	group, known := g.groups[k]
	if !known && len(g.groups) == maxGroups {
		g.Others++
		return
	}
	if g.groups == nil {
		g.groups = map[key]Group{}
	}
	group.Func, group.Error = k.function, k.pattern
	group.Calls++
	if at := info.CompletedAt; at != nil && at.After(group.Latest) {
		group.Latest = *at
	}
	g.groups[k] = group
}

// Sorted returns the groups, the largest first.
func (g *Groups) Sorted() []Group {
	return slices.SortedFunc(maps.Values(g.groups), func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Func, b.Func), cmp.Compare(a.Error, b.Error))
	})
}
