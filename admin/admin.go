// Package admin is for operators: it lists, reads, retries, cancels and deletes the calls of a namespace, or of all, and
// judges the health of Redis, queues and workers.
//
//	a := admin.New(rdb, admin.Config{By: "ann"})
//	defer a.Close()
//	failed := admin.Filter{Status: refcache.Failed, Func: "thumb", Since: time.Hour}
//	for call, err := range a.List(ctx, failed) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(call.RefID, call.LastError)
//	}
//	for retried, err := range a.RetryAll(ctx, failed, admin.FreshBudget()) {
//		…
//	}
//
// Programs that make calls use package producer; that can cancel, delete and retry a single call, too.
package admin

import (
	"cmp"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/change"
	"github.com/refq/refq/internal/counters"
	"github.com/refq/refq/internal/declared"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Config sets up an Admin. The zero value works.
type Config struct {
	// Namespace is whose calls this Admin finds: those of others are refcache.ErrTaskNotFound. Default "default", and
	// refcache.AllNamespaces is all. This is no access control: whoever may use Redis may name any.
	Namespace string
	// By is who the events of calls name for what this Admin does to them. Default user@host.
	By string
	// Queues are looked at even while Redis cannot list those that were ever used: the node of a Cluster that has the list
	// does not answer. Each is a name that refcache.CheckQueue takes. Nil: those that this process has met.
	Queues []string
}

// Admin lists, changes and judges calls. Make one with New and end it with Close. It is safe for concurrent use; one
// per process is enough. It keeps no results in memory.
type Admin struct {
	store    *store.Store
	queue    *queue.Client
	counters *counters.Counters
	change   change.Changer
}

// New returns an Admin that uses rdb, which the caller closes after the Admin. It does not talk to Redis yet. It
// panics if rdb is nil.
func New(rdb redis.UniversalClient, c Config) *Admin {
	if rdb == nil {
		panic("admin.New: the Redis client is nil")
	}
	if c.By == "" {
		c.By = change.UserAtHost()
	}
	rdb = script.New(rdb)
	s := store.New(rdb)
	s.Knows(c.Queues...)
	a := &Admin{store: s, queue: queue.New(rdb, s), counters: counters.New(s)}
	a.change = change.Changer{Namespace: cmp.Or(c.Namespace, refcache.DefaultNamespace), Store: s, Queue: a.queue, Counters: a.counters, By: c.By,
		Declared: declared.NewReader(s)}
	return a
}

// As returns an Admin for a server that acts for its users: the events of calls name by for what it does. It costs
// next to nothing and shares everything else with a. Close a alone.
func (a *Admin) As(by string) *Admin {
	named := *a
	named.change.By = by
	return &named
}

// checkMade refuses an Admin that New did not make.
func (a *Admin) checkMade() error {
	if a == nil || a.store == nil {
		return errors.New("the admin is not made by admin.New")
	}
	return nil
}

// Close adds what was counted since the last 2 s to the statistics in Redis, which takes up to a second if Redis does
// not answer. The error is nil if New made a.
func (a *Admin) Close() error {
	if err := a.checkMade(); err != nil {
		return err
	}
	a.counters.Close()
	return nil
}
