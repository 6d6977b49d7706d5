package execfunc

import (
	"fmt"
	"strings"
	"time"

	"github.com/refq/refq/worker"
)

const unavailablePrefix = "refq-unavailable:"

// unavailability is what a line says of how long what the command needs is unavailable.
type unavailability struct {
	told bool
	wait time.Duration
	err  error // why the line says nothing; nil: it does
}

// parseUnavailable reads "refq-unavailable: DURATION", the whole of a line without its end. A number is one of seconds.
func parseUnavailable(line []byte) (u unavailability, ok bool) {
	text, ok := strings.CutPrefix(string(line), unavailablePrefix)
	if !ok {
		return u, false
	}
	text = strings.TrimSpace(text)
	duration := text
	if strings.Trim(text, "0123456789.") == "" {
		duration += "s"
	}
	wait, err := time.ParseDuration(duration)
	if err != nil || wait < 0 {
		err = fmt.Errorf("%s is %.80q, must be a duration like 20s, 1m or a number of seconds", unavailablePrefix, text)
	}
	return unavailability{true, wait, err}, true
}

// mark is what the error of a command becomes by what it has told. A line that says nothing leaves it as it is, and the error says
// so.
func (u unavailability) mark(err error) error {
	switch {
	case !u.told:
		return err
	case u.err != nil:
		return fmt.Errorf("%w (%w)", err, u.err)
	}
	return worker.Unavailable(err, u.wait)
}
