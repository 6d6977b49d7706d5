package redisserver_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/internal/testkit/redisserver"
)

// Whoever stopped it may have died before it let it go on.
func TestServerThatStandsStillEndsWithItsStarter(t *testing.T) {
	testkit.Start(t) // skips where there is no redis-server
	s, err := redisserver.Start("--save", "", "--dir", t.TempDir())
	require.NoError(t, err)
	require.NoError(t, s.Signal("STOP"))
	ended := make(chan error, 1)
	go func() { ended <- s.Stop() }()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		require.Fail(t, "it has not ended")
	}
}
