package queue_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
)

// One idle worker is no longer idle for it, and looks by itself: the others are not taken from the list for nothing.
func TestWhoMayNotPublishWakesNobody(t *testing.T) {
	t.Parallel()
	server := testkit.New(t)
	root := redis.NewClient(testkit.Options(server.Addr))
	defer root.Close()
	require.NoError(t, root.Do(t.Context(), "ACL", "SETUSER", "app", "on", "nopass", "~*", "resetchannels", "+@all").Err())
	require.NoError(t, root.SAdd(t.Context(), store.IdleKey("q"), "w1", "w2", "w3").Err())
	options := testkit.Options(server.Addr)
	options.Username, options.Password = "app", "any"
	app := redis.NewClient(options)
	defer app.Close()
	require.NoError(t, queue.Wake(t.Context(), app, "q", 3))
	require.EqualValues(t, 2, root.SCard(t.Context(), store.IdleKey("q")).Val())
}
