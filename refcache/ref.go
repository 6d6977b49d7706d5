package refcache

import (
	"fmt"
	"regexp"
	"strings"
)

// Ref is the ref_id of a call: "<queue>:<32 lower-case hex digits>". It is derived from what is called with what,
// so the same call has the same Ref on every host. Obtain one from a producer, or from outside text by [ParseRef].
type Ref string

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$`)
	hashForm = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// ParseRef checks that s has the form of a ref_id. The error wraps [ErrInvalidRef] and shows s.
func ParseRef(s string) (Ref, error) {
	queue, hash, found := strings.Cut(s, ":")
	if !found || !validQueue(queue) || !hashForm.MatchString(hash) {
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

func validQueue(name string) bool {
	return nameForm.MatchString(name) && !strings.Contains(name, "/")
}

// clip keeps error texts readable when somebody hands in a whole file.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
