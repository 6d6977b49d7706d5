package execfunc

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"

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
		Code    string
		Message string
		Details json.RawMessage
	}
	if json.Unmarshal([]byte(text), &told) != nil || told.Code == "" && told.Message == "" {
		return nil, false
	}
	var details any
	if told.Details != nil && string(told.Details) != "null" {
		details = told.Details
	}
	return worker.Fail(told.Code, cmp.Or(told.Message, told.Code), details), true
}
