package remedy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/remedy"
)

// Most rows are met by what Redis says to refq itself: see cmd/refq. These are not.
func TestAnswersOfRedisHaveRemedies(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"ERR invalid password":                                                  "check user and password",
		"CROSSSLOT Keys in request don't hash to the same slot":                 "redis-cluster://",
		"OOM command not allowed when used memory > 'maxmemory'.":               "raise maxmemory",
		"READONLY You can't write against a read only replica.":                 "the master's address",
		"MISCONF Redis is configured to save RDB snapshots, but it's unable to": "disk's free space",
	} {
		require.Contains(t, remedy.OfAnswer(answer), want)
	}
	require.Empty(t, remedy.OfAnswer("redis: nil"))
	require.Empty(t, remedy.OfFailure("what nobody knows"))
}
