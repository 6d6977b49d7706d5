package refcache

import (
	"fmt"
	"strings"
)

// Ref is the ref_id of a call: "<queue>:<32 lower-case hex digits>". It is derived from what is called with what,
// so the same call has the same Ref on every host. Obtain one from a producer, or from outside text by [ParseRef].
type Ref string

// ParseRef checks that s has the form of a ref_id. The error wraps [ErrInvalidRef] and shows s.
func ParseRef(s string) (Ref, error) {
	queue, hash, found := strings.Cut(s, ":")
	if !found || !validQueue(queue) || !validHash(hash) {
		return "", fmt.Errorf("%w: %q is not of the form QUEUE:32-HEX-DIGITS", ErrInvalidRef, clip(s))
	}
	return Ref(s), nil
}

// Queue returns the name of the queue that the call belongs to.
func (r Ref) Queue() string {
	queue, _, _ := strings.Cut(string(r), ":")
	return queue
}

// Hash returns the 32 hex digits that follow the queue.
func (r Ref) Hash() string {
	_, hash, _ := strings.Cut(string(r), ":")
	return hash
}

// Names are checked at every call, which a regular expression would make noticeably slower.

const maxName = 128

func validName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && (i == 0 || c != '.' && c != '_' && c != '/' && c != '-') {
			return false
		}
	}
	return 0 < len(s) && len(s) <= maxName
}

func validQueue(s string) bool {
	return validName(s) && strings.IndexByte(s, '/') < 0
}

func validHash(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 32
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// clip keeps error texts readable when somebody hands in a whole file.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
