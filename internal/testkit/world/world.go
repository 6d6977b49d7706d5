// Package world gives tests a Redis with a producer, and workers on hosts whose cables can be pulled, in one bubble or on
// a real Redis.
package world

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq"
	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// World is a Redis and a producer. Workers join with [World.Start].
type World struct {
	*testing.T
	// Server is the Redis of [In]; on a real Redis it is nil.
	Server *memredis.Server
	// Redis is a client that no producer and no worker has.
	Redis redis.UniversalClient

	connect func() redis.UniversalClient
}

// In runs a test, beside others, in a bubble with a Redis in memory. A minute after the test nothing may run any more.
func In(t *testing.T, test func(w *World)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// Last of all: what ignores its context returns, and go-redis's goroutines end after Close, in their own time.
		t.Cleanup(func() { time.Sleep(2 * time.Minute) })
		server, rdb := testkit.Memory(t)
		test(&World{T: t, Server: server, Redis: rdb, connect: server.Client})
	})
}

// On is a world on the real Redis that the tests of a package share.
func On(t *testing.T) *World {
	t.Helper()
	url := "redis://" + testkit.Start(t)
	w := &World{T: t, connect: func() redis.UniversalClient {
		rdb, err := refq.Connect(url)
		require.NoError(t, err)
		return rdb
	}}
	w.Redis = w.Client()
	return w
}

// Client is another client of the Redis, which is closed after the test.
func (w *World) Client() redis.UniversalClient {
	rdb := w.connect()
	w.Cleanup(func() { require.NoError(w, rdb.Close()) })
	return rdb
}

// NewProducer returns a producer with a client of its own, which is closed after the test.
func (w *World) NewProducer(c producer.Config) *producer.Producer {
	p := producer.New(w.Client(), c)
	w.Cleanup(func() { require.NoError(w, p.Close()) })
	return p
}

// NewAdmin returns an admin with a client of its own, which is closed after the test.
func (w *World) NewAdmin(c admin.Config) *admin.Admin {
	a := admin.New(w.Client(), c)
	w.Cleanup(func() { require.NoError(w, a.Close()) })
	return a
}

// Until waits, up to a minute, until a call is in a status.
func (w *World) Until(p *producer.Producer, ref refcache.Ref, status refcache.Status) refcache.TaskInfo {
	w.Helper()
	var info refcache.TaskInfo
	for range 1200 {
		var err error
		info, err = p.Info(w.Context(), ref)
		require.NoError(w, err)
		if info.Status == status {
			return info
		}
		time.Sleep(50 * time.Millisecond)
	}
	require.FailNow(w, "the call did not get there", "%s is not %s but %s", ref, status, info.Status)
	panic("unreachable")
}
