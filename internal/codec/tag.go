package codec

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/refq/refq/refcache"
)

// TagTemplate makes a tag of a call's arguments: user:{/user} stands for user:7 where the member user is 7.
type TagTemplate struct {
	texts    []string // one more than pointers
	pointers []string
}

// ParseTag reads a template: text, and JSON Pointers in braces.
func ParseTag(template string) (TagTemplate, error) {
	var t TagTemplate
	rest := template
	for {
		text, after, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return t, fmt.Errorf("%.80q has a } without a {", template)
		}
		t.texts = append(t.texts, text)
		if !found {
			break
		}
		pointer, after, found := strings.Cut(after, "}")
		if !found {
			return t, fmt.Errorf("%.80q has a { without a }", template)
		}
		if err := refcache.CheckPointer(pointer); err != nil {
			return t, fmt.Errorf("%.80q: %w", template, err)
		}
		t.pointers, rest = append(t.pointers, pointer), after
	}
	if len(t.pointers) == 0 {
		return t, refcache.CheckTag(template)
	}
	for _, text := range t.texts {
		if text != "" {
			if err := refcache.CheckTag(text); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

// Of returns the tag of a call with these canonical arguments: a text stands for itself, and any other value is written as
// JSON, without exponents where people would not write them. False: one of the values is absent or null, so there is
// nothing to invalidate.
func (t TagTemplate) Of(args []byte) (tag string, ok bool) {
	var b strings.Builder
	b.WriteString(t.texts[0])
	for i, pointer := range t.pointers {
		value := valueAt(args, pointer)
		switch {
		case value == nil || string(value) == "null":
			return "", false
		case value[0] == '"':
			text, err := jsontext.AppendUnquote(nil, value)
			if err != nil {
				return "", false // the arguments are valid
			}
			b.Write(text)
		default:
			b.Write(Plain(value))
		}
		b.WriteString(t.texts[i+1])
	}
	return b.String(), true
}
