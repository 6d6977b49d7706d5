package admin_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/monitor"
)

// SPOP is for what one package does with keys that others use, too.
func TestTheDoctorMissesACommandOfAnyPackage(t *testing.T) {
	t.Parallel()
	server := testkit.New(t)
	operator := redis.NewClient(testkit.Options(server.Addr))
	defer operator.Close()
	require.NoError(t, operator.Do(t.Context(), "ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-spop").Err())
	options := testkit.Options(server.Addr)
	options.Username, options.Password = "app", "secret"
	rdb := redis.NewClient(options)
	defer rdb.Close()
	a := admin.New(rdb, admin.Config{})
	defer a.Close()
	health, err := a.Health(t.Context())
	require.NoError(t, err)
	require.Equal(t, []monitor.Refusal{{Keys: "refq:{default}:*", Commands: []string{"SPOP"}}}, health.Refused)
}
