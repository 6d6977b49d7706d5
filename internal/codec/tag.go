package codec

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxTags = 16
	maxTag  = 128
)

// CheckTag reports whether s may be a tag: 1 to 128 bytes of UTF-8 without space, comma, # and control characters. The
// error shows what is wrong with it.
func CheckTag(s string) error {
	switch {
	case s == "":
		return errors.New("a tag is empty")
	case len(s) > maxTag:
		return fmt.Errorf("tag %.80q has %d bytes, more than %d", s, len(s), maxTag)
	case !utf8.ValidString(s):
		return fmt.Errorf("tag %.80q is no valid UTF-8", s)
	}
	for _, r := range s {
		if r <= ' ' || r == ',' || r == '#' || 0x7f <= r && r <= 0xa0 {
			return fmt.Errorf("tag %.80q has %q: space, comma, # and control characters cannot be in tags", s, r)
		}
	}
	return nil
}

// CheckTags reports whether a call may have these tags: at most 16. The error shows what is wrong.
func CheckTags(tags []string) error {
	if len(tags) > maxTags {
		return fmt.Errorf("%d tags, more than %d", len(tags), maxTags)
	}
	for _, tag := range tags {
		if err := CheckTag(tag); err != nil {
			return err
		}
	}
	return nil
}

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
		if pointer == "" || !jsontext.Pointer(pointer).IsValid() {
			return t, fmt.Errorf("%.80q: %q is no JSON Pointer like /url", template, pointer)
		}
		t.pointers, rest = append(t.pointers, pointer), after
	}
	if len(t.pointers) == 0 {
		return t, CheckTag(template)
	}
	for _, text := range t.texts {
		if text != "" {
			if err := CheckTag(text); err != nil {
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
		value, ok := plainAt(args, pointer)
		if !ok {
			return "", false
		}
		b.WriteString(value)
		b.WriteString(t.texts[i+1])
	}
	return b.String(), true
}
