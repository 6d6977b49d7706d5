package demo

import (
	"context"
	"errors"
	"time"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// Charge charges an order. Call waits 0.1 s for it; up to three retries follow after 1 s, 2 s and 4 s.
var Charge = refcache.Func[Order, Receipt]{
	Name:         "charge",
	AsyncTimeout: 100 * time.Millisecond,
	Retry: refcache.RetryPolicy{
		MaxRetries: 3, Delay: time.Second, BackoffFactor: 2, Jitter: -1,
	},
}

// Order is what Charge is called with.
type Order struct{ ID int }

// Receipt says that an order is charged.
type Receipt struct {
	Success  bool `json:"success"`
	Attempts int  `json:"attempts"`
}

// charge fails on its first two attempts, as if the bank were busy.
func charge(ctx context.Context, _ Order) (Receipt, error) {
	if err := pause(ctx, 300*time.Millisecond); err != nil {
		return Receipt{}, err
	}
	running, _ := worker.Current(ctx)
	if running.Attempt <= 2 {
		return Receipt{}, errors.New("the bank is busy")
	}
	return Receipt{Success: true, Attempts: running.Attempt}, nil
}

func (s *show) tellRetries(ctx context.Context) error {
	p := s.p
	s.heading("2. A call that fails twice, then succeeds")
	s.say("Call waits up to AsyncTimeout and then tells how it stands. Submit never waits:")
	s.code(
		`var Charge = refcache.Func[Order, Receipt]{`,
		`    Name:         "charge",`,
		`    AsyncTimeout: 100 * time.Millisecond,`,
		`    Retry: refcache.RetryPolicy{`,
		`        MaxRetries: 3, Delay: time.Second, BackoffFactor: 2, Jitter: -1,`,
		`    },`,
		`}`,
		``,
		`ref, err := producer.Submit(ctx, p, Charge, Order{ID: 42})`,
	)
	submitted := time.Now()
	ref, err := producer.Submit(ctx, p, Charge, Order{ID: 42})
	if err != nil {
		return err
	}
	started, err := s.started(ctx, ref)
	if err != nil {
		return err
	}
	s.at(0, "%s  attempt 1, begun %s after Submit", s.status(refcache.Processing), brief(started.Sub(submitted)))
	return s.tellJoining(ctx, ref, started)
}

// tellJoining makes again the call that runs, and follows it to its end.
func (s *show) tellJoining(ctx context.Context, ref refcache.Ref, started time.Time) error {
	p := s.p
	s.say("", "The same call, made while that runs, joins it:")
	s.code(`res, err := producer.Call(ctx, p, Charge, Order{ID: 42})`)
	res, err := producer.Call(ctx, p, Charge, Order{ID: 42})
	if err != nil {
		return err
	}
	s.at(time.Since(started), "%s  ref_id:%s", s.status(res.Status), res.RefID)
	s.say("", "It is in flight. Whoever has the ref_id can follow it, and wait for its end:")
	s.code(`info, err := p.Info(ctx, ref)`, `done, err := producer.Wait(ctx, p, Charge, ref)`)
	if err := s.follow(ctx, ref, started); err != nil {
		return err
	}
	done, err := producer.Wait(ctx, p, Charge, ref)
	if err != nil {
		return err
	}
	return s.value(done.Value)
}

// started waits until a worker has begun with the task.
func (s *show) started(ctx context.Context, ref refcache.Ref) (time.Time, error) {
	for {
		info, err := s.p.Info(ctx, ref)
		if err != nil {
			return time.Time{}, err
		}
		if info.StartedAt != nil {
			return *info.StartedAt, nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return time.Time{}, err
		}
	}
}

// follow prints how a task gets on after the start of its first attempt, until it ends. The times are Redis's.
func (s *show) follow(ctx context.Context, ref refcache.Ref, began time.Time) error {
	p := s.p
	attempt, failures := 1, 0
	for {
		info, err := p.Info(ctx, ref)
		if err != nil {
			return err
		}
		for _, a := range info.RetryHistory[failures:] {
			s.at(a.Timestamp.Sub(began), "%s    attempt %d failed: %s; the next in %s", s.status(refcache.Retrying),
				a.Attempt, a.Error, brief(a.Delay))
		}
		failures = len(info.RetryHistory)
		if info.Attempt > attempt {
			attempt = info.Attempt
			s.at(info.StartedAt.Sub(began), "%s  attempt %d", s.status(refcache.Processing), attempt)
		}
		if info.Status.IsFinal() {
			s.at(info.CompletedAt.Sub(began), "%s", s.status(info.Status))
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}
