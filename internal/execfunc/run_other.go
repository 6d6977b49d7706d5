//go:build !unix

package execfunc

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
)

var errNotUnix = errors.New("exec functions need a Unix system, this is " + runtime.GOOS +
	": run their worker on Linux, macOS or BSD")

// Check refuses: exec functions run on Unix systems only.
func (c Command) Check() error { return errNotUnix }

// Run refuses: exec functions run on Unix systems only.
func (c Command) Run(context.Context, json.RawMessage) (json.RawMessage, error) {
	return nil, errNotUnix
}
