// Package redact hides what nobody should read: parts of arguments, results and errors, before they are shown or logged.
package redact

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Mask stands in place of what is hidden.
const Mask = "***"

// Rules say what is hidden. The nil Rules hide nothing; Rules may be used concurrently.
type Rules struct {
	pointers [][]string
	patterns []*regexp.Regexp
}

// Parse reads rules. One that begins with a slash is a JSON Pointer (RFC 6901) into arguments and into results, where the
// token * stands for any one token, and ** for any number of them, none included: "/**/password". Any other is a regular
// expression (RE2) for texts: errors, messages, log lines, and the strings and numbers within arguments and results. The
// error names the rule. No rules are nil.
func Parse(rules []string) (*Rules, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	var r Rules
	for _, rule := range rules {
		if strings.HasPrefix(rule, "/") {
			pointer, err := parsePointer(rule)
			if err != nil {
				return nil, fmt.Errorf("rule %q: %w", rule, err)
			}
			r.pointers = append(r.pointers, pointer)
			continue
		}
		pattern, err := regexp.Compile(rule)
		if err == nil && pattern.MatchString("") {
			err = errors.New("it matches nothing at all, and so everywhere: be more exact")
		}
		if err != nil {
			return nil, fmt.Errorf("rule %q is no JSON Pointer, which begins with /, and as a pattern: %w", rule, err)
		}
		r.patterns = append(r.patterns, pattern)
	}
	return &r, nil
}

var looseTilde = regexp.MustCompile("~([^01]|$)")

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

func parsePointer(text string) ([]string, error) {
	if looseTilde.MatchString(text) {
		return nil, errors.New("a ~ in a JSON Pointer is written ~0, a / within a name ~1")
	}
	tokens := strings.Split(text[1:], "/")
	for i, token := range tokens {
		tokens[i] = unescape.Replace(token)
	}
	return tokens, nil
}

// Text hides what patterns match in a text for people.
func (r *Rules) Text(s string) string {
	if r == nil {
		return s
	}
	for _, pattern := range r.patterns {
		s = pattern.ReplaceAllLiteralString(s, Mask)
	}
	return s
}

// JSON hides what the rules say in arguments or a result. All else stays as it was written, to the letter. What is no
// JSON is hidden whole.
func (r *Rules) JSON(text json.RawMessage) json.RawMessage {
	if r == nil || len(text) == 0 {
		return text
	}
	out, err := r.rewrite(text)
	if err != nil {
		return json.RawMessage(`"` + Mask + `"`)
	}
	return out
}

// matches reports whether a path leads to what a pointer means.
func matches(pointer, path []string) bool {
	switch {
	case len(pointer) == 0:
		return len(path) == 0
	case pointer[0] == "**":
		return matches(pointer[1:], path) || len(path) > 0 && matches(pointer, path[1:])
	case len(path) == 0:
		return false
	}
	return (pointer[0] == "*" || pointer[0] == path[0]) && matches(pointer[1:], path[1:])
}
