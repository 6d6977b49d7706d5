package refcache

import (
	"errors"
	"fmt"
	"unicode/utf8"
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
		return fmt.Errorf("tag %q has %d bytes, more than %d", clip(s), len(s), maxTag)
	case !utf8.ValidString(s):
		return fmt.Errorf("tag %q is no valid UTF-8", clip(s))
	}
	for _, r := range s {
		if r <= ' ' || r == ',' || r == '#' || 0x7f <= r && r <= 0xa0 {
			return fmt.Errorf("tag %q has %q: space, comma, # and control characters cannot be in tags", clip(s), r)
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
