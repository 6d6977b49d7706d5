package admin

import (
	"context"
	"encoding/json"
	"time"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Task is everything that is known of a task, as it was at one moment.
type Task struct {
	refcache.TaskInfo
	ReadAt   time.Time       // by Redis's clock, as all its times
	Args     json.RawMessage // canonical, but for numbers, which have no exponent where 40 digits do
	Result   json.RawMessage // nil when there is none; while a complete call is run again, the old one
	ETA      *time.Duration  // as in refcache.Response
	Doorbell string          // the id of the asynq task that told, or tells, workers of this call
}

// Task reads everything that is known of a task. The error is refcache.ErrTaskNotFound when there is no such task,
// refcache.ErrUnreadable when its record, history or result is damaged.
func (a *Admin) Task(ctx context.Context, ref refcache.Ref) (Task, error) {
	if err := a.checkMade(); err != nil {
		return Task{}, err
	}
	if _, err := refcache.ParseRef(string(ref)); err != nil {
		return Task{}, err
	}
	w, err := a.store.Whole(ctx, ref)
	if err == nil {
		err = store.CheckNamespace(a.change.Namespace, ref, w.Namespace)
	}
	if err != nil {
		return Task{}, err
	}
	return Task{TaskInfo: w.Info, ReadAt: w.ReadAt, Args: codec.Plain(w.Args), Result: w.Result, ETA: answer.ETA(&w.Record),
		Doorbell: queue.TaskID(ref, w.Delivery)}, nil
}
