package execfunc

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/refq/refq/worker"
)

const errorPrefix = "refq-error:"

// errorLine is the error that the last line tells, "refq-error: " and an object; false if it does not.
func (t *tail) errorLine() (error, bool) {
	written := bytes.TrimSpace(t.buf)
	line := written[bytes.LastIndexByte(written, '\n')+1:]
	text, found := strings.CutPrefix(string(line), errorPrefix)
	if !found {
		return nil, false
	}
	var told struct {
		Code         string
		Message      string
		Details      json.RawMessage
		Permanent    bool
		RetryAfterMS *int64 `json:"retry_after_ms"`
	}
	if json.Unmarshal([]byte(text), &told) != nil || told.Code == "" && told.Message == "" {
		return nil, false
	}
	var details any
	if told.Details != nil && string(told.Details) != "null" {
		details = told.Details
	}
	err := worker.Fail(told.Code, cmp.Or(told.Message, told.Code), details)
	switch {
	case told.Permanent:
		err = worker.Permanent(err)
	case told.RetryAfterMS != nil:
		after := time.Duration(min(*told.RetryAfterMS, maxRetryAfter.Milliseconds())) * time.Millisecond
		err = worker.RetryAfter(err, after)
	}
	return err, true
}

// maxRetryAfter is how long a program may put off a retry.
const maxRetryAfter = 24 * time.Hour
