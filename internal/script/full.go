package script

import "strings"

// Full reports whether an error says that Redis has refused a write because its memory is full. A script that answers so has
// written nothing: only its first write is refused.
func Full(err error) bool {
	return err != nil && strings.Contains(err.Error(), "OOM command not allowed") // Redis 6 puts it into an error of its own
}
