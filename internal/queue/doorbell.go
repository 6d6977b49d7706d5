// Package queue is the border to asynq. asynq carries doorbells: "somebody should look at this ref_id". They may
// come twice, late, or after the fact; the record says what is true. No other package of refq knows asynq.
package queue

import (
	"fmt"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// TaskID names the doorbell of a delivery. asynq keeps one task per id, in whatever state.
func TaskID(ref refcache.Ref, delivery int) string {
	if delivery <= 1 {
		return string(ref)
	}
	return fmt.Sprintf("%s.%d", ref, delivery)
}

// owed reports whether the task needs a doorbell.
func owed(r store.Record) bool {
	return r.Status == refcache.Pending || r.Status == refcache.Retrying
}
