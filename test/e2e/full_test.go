//go:build unix

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

// fill fills a Redis, or makes room again.
func fill(t *testing.T, rdb redis.UniversalClient, limit string) {
	t.Helper()
	require.NoError(t, rdb.ConfigSet(t.Context(), "maxmemory", limit).Err())
}

// beatAfter waits until the only worker has beaten after a time.
func (s *site) beatAfter(at time.Time) {
	s.t.Helper()
	for {
		p := s.refq("doctor", "-o", "json")
		var c struct {
			Workers []struct {
				LastBeat time.Time `json:"last_beat"`
				Alive    bool
			}
		}
		require.NoError(s.t, json.Unmarshal([]byte(p.stdout.String()), &c), "%s", &p.stderr)
		require.Len(s.t, c.Workers, 1)
		require.True(s.t, c.Workers[0].Alive)
		if c.Workers[0].LastBeat.After(at) {
			return
		}
	}
}

// Every process here is a fresh one, which has noted nothing yet.
func TestAFullRedisAnswersHitsAndTakesCancelsAndDeletes(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 6)
	addr := testkit.New(t, "--maxmemory-policy", "noeviction").Addr
	rdb := connect(t, "redis://"+addr)
	s := newSiteAt(t, "redis://"+addr, nil, keys{"web": keys{"listen": "127.0.0.1:0"}})
	s.worker()
	done := s.call(`{"n":1}`)
	s.next().succeed("1")
	ref := done.answer(0).RefID
	running, unwanted := s.submit(`{"n":2}`), s.submit(`{"n":3}`)
	actors := map[refcache.Ref]*actor{}
	for range 2 {
		a := s.next()
		actors[a.ref()] = a
	}
	require.NoError(t, rdb.Set(t.Context(), "other", strings.Repeat("x", 1<<20), 0).Err())
	fill(t, rdb, "1")
	full := time.Now()

	require.JSONEq(t, "1", string(s.call(`{"n":1}`).answer(0).Value))
	require.JSONEq(t, "1", string(s.refq("get", string(ref), "-o", "json").answer(0).Value))
	got, err := s.producer().Get(t.Context(), ref)
	require.NoError(t, err)
	require.JSONEq(t, "1", string(got.Value))
	require.Equal(t, refcache.Processing, s.info(running).Status)
	site := s.web()
	response, err := http.Post(site+"/api/v1/calls", "application/json", strings.NewReader(`{"func":"f","args":{"n":1}}`))
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, string(body))
	require.Contains(t, string(body), `"cache":"hit"`)

	joins, waits := s.call(`{"n":2}`), s.wait(running)
	refused := s.refq("call", "f", `{"n":9}`)
	require.Equal(t, 1, refused.exitCode())
	require.Contains(t, refused.stderr.String(), "raise maxmemory")

	require.Equal(t, 0, s.refq("cancel", string(unwanted)).exitCode())
	actors[unwanted].isGone()
	require.Equal(t, refcache.Cancelled, s.info(unwanted).Status)
	require.Equal(t, 0, s.refq("delete", string(unwanted)).exitCode())
	actors[running].succeed("2") // the worker keeps it

	s.beatAfter(full)
	c := s.doctor()
	require.True(t, c.Wrong)
	for _, f := range c.Findings {
		if f.ID == "memory" {
			require.Equal(t, "wrong", f.Level, f)
			require.Contains(t, f.Fact, "full")
			require.Contains(t, f.Fact, "about: keys of others")
		} else {
			require.NotEqual(t, "wrong", f.Level, f)
		}
	}
	require.Equal(t, "ok", c.level("permissions"))
	require.Equal(t, "ok", c.level("workers"))
	require.Equal(t, refcache.Processing, s.info(running).Status)

	fill(t, rdb, "0")
	require.JSONEq(t, "2", string(joins.answer(0).Value))
	require.JSONEq(t, "2", string(waits.answer(0).Value))
	info := s.info(running)
	require.Equal(t, []int{1, 0, 0}, []int{info.Attempt, info.RetryCount, info.LostCount})
	require.Equal(t, "ok", s.doctor().level("memory"))
	s.call(`{"n":9}`)
	s.next().succeed("9")
}
