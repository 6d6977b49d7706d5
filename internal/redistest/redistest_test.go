package redistest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/redistest"
	"github.com/refq/refq/refcache"
)

func TestAllTestsShareOneServer(t *testing.T) {
	t.Parallel()
	addr := redistest.Start(t)
	require.Equal(t, addr, redistest.Start(t))
	rdb, err := refcache.Connect("redis://" + addr)
	require.NoError(t, err)
	defer rdb.Close()
	require.Contains(t, rdb.Info(t.Context(), "server").Val(), "redis_version")
}
