//go:build unix

package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

// check is what refq doctor finds.
type check struct {
	Wrong    bool `json:"wrong"`
	Findings []struct {
		ID, Level, Fact, Remedy string
	} `json:"findings"`
}

func (s *site) doctor() check {
	s.t.Helper()
	p := s.refq("doctor", "-o", "json")
	var c check
	require.NoError(s.t, json.Unmarshal([]byte(p.stdout.String()), &c), "%s", &p.stderr)
	want := 0
	if c.Wrong {
		want = 1
	}
	require.Equal(s.t, want, p.exitCode())
	return c
}

func (c check) level(id string) string {
	for _, f := range c.Findings {
		if f.ID == id {
			return f.Level
		}
	}
	return ""
}

func (c check) remedy(id string) string {
	for _, f := range c.Findings {
		if f.ID == id {
			return f.Remedy
		}
	}
	return ""
}

// commands are all that refq and asynq use; refq doctor's own INFO, CONFIG and ACL are not among them.
var commands = strings.Fields(`+time +del +exists +expire +expireat +get +incr +persist +pexpire +set +setex
	+hdel +hexists +hget +hgetall +hincrby +hkeys +hlen +hmget +hset +lindex +llen +lpos +lpush +lrange +lrem +lset +ltrim +rpop +rpoplpush +rpush
	+sadd +scard +sinter +sismember +smembers +smismember +spop +srandmember +srem
	+zadd +zcard +zcount +zmscore +zrange +zrangebyscore +zrank +zrem +zremrangebyrank +zremrangebyscore +zrevrange +zscore`)

// A user who may do nothing is given exactly what refq doctor asks for, until it asks for no more: then calls run.
func TestUserWithTheRightsThatDoctorAsksForMakesAndRunsCalls(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 6)
	for _, least := range []bool{false, true} {
		addr := testkit.New(t).Addr
		admin := connect(t, "redis://"+addr)
		grant := func(line string) {
			words := []any{}
			for _, word := range strings.Fields(line) {
				words = append(words, word)
			}
			require.NoError(t, admin.Do(t.Context(), words...).Err(), line)
		}
		grant("ACL SETUSER app on nopass +ping +hello")
		s := newSiteAt(t, "redis://app:any@"+addr, nil, nil)
		if least { // all that the queue of f will need, command by command
			grant("ACL SETUSER app ~refq:* ~asynq:* &refq:* +eval +evalsha +spublish +ssubscribe " + strings.Join(commands, " "))
		}
		rounds := 0
		for c := s.doctor(); c.level("permissions") != "ok"; c = s.doctor() {
			grant(c.remedy("permissions"))
			rounds++
			require.LessOrEqual(t, rounds, 4)
		}
		require.Equal(t, !least, rounds > 0)
		s.callAndResult()
		require.Equal(t, "ok", s.doctor().level("permissions"))
		require.Empty(t, s.doctor().remedy("workers"))
	}
}

func TestDoctorFindsTheCallOfAKilledWorkerThatNobodyTakesOver(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 5)
	s := newSiteAt(t, "redis://"+testkit.New(t).Addr, nil, nil)
	w := s.worker()
	call := s.call("{}")
	first := s.next()
	c := s.doctor()
	require.False(t, c.Wrong, c)

	w.kill()
	first.isGone()
	for c = s.doctor(); !c.Wrong; c = s.doctor() { // it counts as dead after 6 s
	}
	require.Equal(t, "wrong", c.level("leftovers"))
	require.Equal(t, "warning", c.level("workers"))

	s.worker()
	s.next().succeed("1")
	call.answer(0)
	require.False(t, s.doctor().Wrong)
}
