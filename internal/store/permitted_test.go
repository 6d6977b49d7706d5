package store_test

import (
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/refq/refq"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

// guarded is a Redis of its own, on which a user app with few rights looks for what it lacks in queue a.
type guarded struct {
	*testing.T
	addr  string
	admin redis.UniversalClient
	app   *store.Store
}

func newGuarded(t *testing.T, rights ...any) *guarded {
	t.Helper()
	addr := testkit.New(t).Addr
	g := &guarded{T: t, addr: addr, admin: dial(t, "redis://"+addr+testkit.Patience)}
	g.permit(append([]any{"on", "nopass"}, rights...)...)
	g.app = store.New(dial(t, "redis://app:any@"+addr+testkit.Patience))
	return g
}

func dial(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := refq.Connect(url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	return rdb
}

func (g *guarded) permit(rights ...any) {
	g.Helper()
	require.NoError(g, g.admin.Do(g.Context(), append([]any{"ACL", "SETUSER", "app"}, rights...)...).Err())
}

func (g *guarded) refused() []monitor.Refusal {
	g.Helper()
	refused, err := g.app.Refused(g.Context(), store.Needs("a"))
	require.NoError(g, err)
	for _, key := range g.admin.Keys(g.Context(), "*").Val() { // without DEL the scratch key has its millisecond
		require.LessOrEqual(g, g.admin.PTTL(g.Context(), key).Val(), time.Millisecond, "%s stays", key)
		require.NotEqual(g, time.Duration(-1), g.admin.PTTL(g.Context(), key).Val(), "%s stays", key)
	}
	return refused
}

var enough = []any{"~refq:*", "&refq:*", "+@all", "-@dangerous"}

// asked and tried are the two ways to find out what is permitted: that of Redis 7, and the one before.
func askedAndTried(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Run("asked", test)
	t.Run("tried", func(t *testing.T) {
		store.TryPermissions(t.Cleanup)
		test(t)
	})
}

func TestRefusedCommandsKeysAndChannelsAreNamed(t *testing.T) {
	type refused = []monitor.Refusal
	askedAndTried(t, func(t *testing.T) {
		g := newGuarded(t, enough...)
		require.Empty(t, g.refused())

		g.permit("-zadd", "-hincrby")
		require.Equal(t, refused{{Keys: "refq:{a}:*", Commands: []string{"HINCRBY", "ZADD"}}}, g.refused())
		g.permit("+zadd", "+hincrby", "-del")
		require.Equal(t, refused{{Keys: "refq:{a}:*", Commands: []string{"DEL"}}}, g.refused())

		g.permit("+del", "resetkeys", "~refq:queues")
		require.Equal(t, refused{{Keys: "refq:{a}:*"}}, g.refused())
		g.permit("resetkeys", "~refq:{a}:*")
		require.Equal(t, refused{{Keys: "refq:queues"}}, g.refused())

		g.permit("~refq:*", "resetchannels", "&refq:{*}:in:*")
		require.Equal(t, refused{{Channels: "refq:{*}:wake:*"}, {Channels: "refq:{*}:cancel:*"}, {Channels: "refq:{*}:dropped"}}, g.refused())
		g.permit("&refq:*", "-ssubscribe", "-spublish")
		require.Equal(t, refused{{Commands: []string{"SSUBSCRIBE"}}, {Commands: []string{"SPUBLISH"}}}, g.refused())

		g.permit("+ssubscribe", "+spublish", "-evalsha")
		require.Equal(t, refused{{Commands: []string{"EVALSHA"}}}, g.refused())
		g.permit("-eval")
		require.Equal(t, refused{{Commands: []string{"EVAL"}}, {Commands: []string{"EVALSHA"}}}, g.refused())
	})
}

func TestRedisThatTakesNoWritesIsFoundOut(t *testing.T) {
	askedAndTried(t, func(t *testing.T) {
		g := newGuarded(t, enough...)
		require.NoError(t, g.admin.ConfigSet(t.Context(), "maxmemory", "1").Err())
		refused := g.refused()
		require.Len(t, refused, 1)
		require.Regexp(t, "^OOM", refused[0].Reason)
	})
}

func TestReplicaIsFoundOut(t *testing.T) {
	askedAndTried(t, func(t *testing.T) {
		g := newGuarded(t, enough...)
		require.NoError(t, g.admin.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())
		refused := g.refused()
		require.Len(t, refused, 1)
		require.Regexp(t, "^READONLY", refused[0].Reason)
	})
}

func TestTryingTouchesNoKeyThatIsInUse(t *testing.T) {
	askedAndTried(t, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q, _ := bubble(t)
			require.NoError(t, q.AddQueue(t.Context(), q.name))
			q.pending()
			q.retrying(0)
			before := q.dump()
			refused, err := q.Refused(t.Context(), store.Needs(q.name))
			require.NoError(t, err)
			require.Empty(t, refused)
			require.Equal(t, before, q.dump())
			require.Equal(t, []string{q.name}, q.rdb.SMembers(t.Context(), "refq:queues").Val())
		})
	})
}

func TestEveryCommandOfTheScriptsIsTried(t *testing.T) {
	t.Parallel()
	tried := map[string]bool{"DEL": true, "PUBLISH": true, "SPUBLISH": true} // which are tried on their own
	for _, need := range store.Needs("a") {
		for _, command := range need.Commands {
			tried[strings.Fields(command)[0]] = true
		}
	}
	for name, text := range store.ScriptSources() {
		for _, call := range regexp.MustCompile(`\b(?:p?call|try)\('([A-Z]+)'`).FindAllStringSubmatch(text, -1) {
			require.True(t, tried[call[1]], "%s of %s.lua", call[1], name)
		}
	}
}

func TestUserIsTheOneThatRedisKnows(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "+acl|whoami")
	for _, rights := range []string{"+@all", "-@all"} {
		g.permit(rights, "+ping")
		user, err := g.app.User(t.Context())
		require.NoError(t, err)
		require.Equal(t, "app", user)
	}
	synctest.Test(t, func(t *testing.T) {
		q, _ := bubble(t)
		user, err := q.User(t.Context())
		require.NoError(t, err)
		require.Empty(t, user)
	})
}

// mayNot is what Redis says of a command in a script, before 7.2 and since, and Valkey.
const mayNot = "can't run this command|no permissions to run the"

// Else people would be told to delete it, and a worker would give up its outcome.
func TestRecordThatMayNotBeReadIsNotDamaged(t *testing.T) {
	g := newGuarded(t, enough...)
	ctx, app := t.Context(), newQueue(t, dial(t, "redis://app:any@"+g.addr))
	k := app.processing()
	before := g.admin.HGetAll(ctx, app.record(k.ref)).Val()

	g.permit("-hmget", "-hget")
	for command, err := range app.send(k) {
		require.Regexp(t, mayNot, err, command)
		require.NotErrorIs(t, err, refcache.ErrUnreadable, command)
	}
	_, err := app.DeleteDamaged(ctx, k.ref)
	require.Regexp(t, mayNot, err)
	_, err = app.Heartbeat(ctx, app.name, store.Beat{Worker: "w1", Runs: []store.Claim{{Ref: k.ref, Token: k.token}}})
	require.Regexp(t, mayNot, err, "and not that its token is void")
	require.Equal(t, before, g.admin.HGetAll(ctx, app.record(k.ref)).Val())

	g.permit("+hmget", "+hget")
	beaten, err := app.Heartbeat(ctx, app.name, store.Beat{Worker: "w1", Runs: []store.Claim{{Ref: k.ref, Token: k.token}}})
	require.NoError(t, err)
	require.Empty(t, beaten.Void)
	require.Empty(t, beaten.Unknown)
}
