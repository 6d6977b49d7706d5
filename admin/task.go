package admin

import (
	"context"
	"encoding/json"
	"time"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/declared"
	"github.com/refq/refq/internal/queue"
	"github.com/refq/refq/refcache"
)

// Task is everything that is known of a task, as it was at one moment.
type Task struct {
	refcache.TaskInfo
	ReadAt time.Time       // by Redis's clock, as all its times
	Args   json.RawMessage // canonical, but for numbers, which have no exponent where 40 digits do
	Result json.RawMessage // nil when there is none; while a complete call is run again, the old one
	ETA    *time.Duration  // as in refcache.Response
	// WaitsSince is when a call in flight last began to wait: for its turn, for a worker, for its retry. Zero: when it was created.
	WaitsSince time.Time
	Doorbell   string // the id of the asynq task that told, or tells, workers of this call
}

// Declaration is what a living worker declares of a function.
type Declaration struct {
	Policy refcache.Policy
	// Members are the top-level names that the arguments may have: whether Go always writes one. Nil if TakesAll.
	Members                map[string]bool
	TakesAll, AllowUnknown bool // other members are taken; or passed over
}

// Takes reports whether the arguments may have a member at the top level.
func (d Declaration) Takes(member string) bool {
	return declared.Function{Members: d.Members, TakesAll: d.TakesAll, AllowUnknown: d.AllowUnknown}.Takes(member)
}

// Declarations reads what living workers of the policy's queue declare of its function in its version, the last started one
// last. What was read is used for 5 s.
func (a *Admin) Declarations(ctx context.Context, of refcache.Policy) ([]Declaration, error) {
	if err := a.checkMade(); err != nil {
		return nil, err
	}
	functions, err := a.change.Declared.All(ctx, of.Queue, declared.Name(of.Name, of.Version))
	var all []Declaration
	for _, f := range functions {
		all = append(all, Declaration{f.Policy, f.Members, f.TakesAll, f.AllowUnknown})
	}
	return all, err
}

// Task reads everything that is known of a task. The error is refcache.ErrTaskNotFound when there is no such task,
// refcache.ErrUnreadable when its record, history or result is damaged.
func (a *Admin) Task(ctx context.Context, ref refcache.Ref) (Task, error) {
	if err := a.checkMade(); err != nil {
		return Task{}, err
	}
	w, err := a.change.Whole(ctx, ref)
	if err != nil {
		return Task{}, err
	}
	return Task{TaskInfo: w.Info, ReadAt: w.ReadAt, Args: codec.Plain(w.Args), Result: w.Result, ETA: answer.ETA(&w.Record), WaitsSince: w.UpdatedAt,
		Doorbell: queue.TaskID(ref, w.Delivery)}, nil
}
