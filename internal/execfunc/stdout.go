package execfunc

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/refq/refq/internal/codec"
)

var errTooLong = errors.New("stdout is too long")

// stdout keeps what a command writes there, up to a limit.
type stdout struct {
	limit   int
	tooLong func() // called when the limit is passed
	full    bool   // the limit was passed
	buf     bytes.Buffer
}

// Write fails when the limit is passed, which closes the pipe.
func (s *stdout) Write(p []byte) (int, error) {
	if s.full || len(p) > s.limit-s.buf.Len() {
		s.full = true
		s.tooLong()
		return 0, errTooLong
	}
	return s.buf.Write(p)
}

// result returns the one JSON value that was written, as it was written.
func (s *stdout) result() (json.RawMessage, error) {
	text := bytes.Trim(s.buf.Bytes(), " \t\r\n")
	if len(text) == 0 {
		return json.RawMessage("null"), nil
	}
	var value json.RawMessage
	if err := codec.Decode(text, &value); err != nil {
		reason := cmp.Or(errors.Unwrap(err), err) // without the Go type
		return nil, fmt.Errorf("stdout is not one JSON value in UTF-8: %w; it begins %s", reason, begin(text))
	}
	return value, nil
}

// begin quotes the first bytes of text.
func begin(text []byte) string {
	const most = 60
	if len(text) <= most {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q…", text[:most])
}
