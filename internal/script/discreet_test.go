package script_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/testkit"
)

// Redis quotes the arguments of a command that it does not know: of EVAL, the script.
func TestNoErrorShowsAScript(t *testing.T) {
	t.Parallel()
	server := testkit.New(t, "--rename-command", "EVAL", "hidden")
	rdb, err := refq.Connect("redis://" + server.Addr)
	require.NoError(t, err)
	defer rdb.Close()
	piped := script.New(rdb)
	secret := redis.NewScript("return 'my source'")
	uses := []script.Use{{Args: []any{"my argument"}}, {Args: []any{"another"}}}
	answers := map[string]*redis.Cmd{
		"piped":         secret.Run(t.Context(), piped, nil, "my argument"),
		"once":          secret.Run(t.Context(), script.Once(rdb), nil, "my argument"),
		"once, piped":   secret.Run(t.Context(), script.Once(piped), nil, "my argument"),
		"by hand":       script.Discreet(secret.Run(t.Context(), rdb, nil, "my argument")),
		"many":          script.RunAll(t.Context(), rdb, secret, uses)[0],
		"many, by pipe": script.RunAll(t.Context(), piped, secret, uses)[0],
	}
	for name, cmd := range answers {
		var answer redis.Error
		require.ErrorAs(t, cmd.Err(), &answer, name)
		require.EqualError(t, cmd.Err(), "ERR unknown command 'eval'", name)
	}
}
