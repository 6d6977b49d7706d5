package demo

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// Rate asks for an exchange rate, and is retried twice.
var Rate = refcache.Func[Pair, Quote]{
	Name:         "rate",
	AsyncTimeout: 20 * time.Second,
	Retry:        refcache.RetryPolicy{MaxRetries: 2, Delay: 200 * time.Millisecond, BackoffFactor: 2, Jitter: -1},
}

// Pair is what Rate is called with.
type Pair struct{ From, To string }

// Quote is a rate.
type Quote struct {
	Pair string  `json:"pair"`
	Rate float64 `json:"rate"`
}

// exchange stands for the service that knows the rates. It is down until it is opened.
type exchange struct{ open atomic.Bool }

func (x *exchange) rateNow(_ context.Context, in Pair) (Quote, error) {
	if !x.open.Load() {
		return Quote{}, errors.New("exchange: connection refused")
	}
	return Quote{Pair: in.From + "/" + in.To, Rate: 1.0842}, nil
}

func (s *show) tellOutage(ctx context.Context) error {
	p := s.p
	s.heading("4. A service that is down")
	s.say("Rate asks an exchange that is down. Call waits while two retries fail, too:")
	s.code(`res, err := producer.Call(ctx, p, Rate, Pair{From: "EUR", To: "USD"})`)
	res, err := producer.Call(ctx, p, Rate, Pair{From: "EUR", To: "USD"})
	var failed *refcache.TaskError
	switch {
	case errors.As(err, &failed):
	case err != nil:
		return err
	default:
		return fmt.Errorf("call %s is %s, and should have failed", res.RefID, res.Status)
	}
	s.answer("%s  ref_id:%s", s.status(res.Status), res.RefID)
	s.answer("can_retry:%t  exhausted:%t  retry_count:%d  max_retries:%d", res.CanRetry, res.Exhausted, res.RetryCount, res.MaxRetries)
	s.say("", "Every attempt is on record:")
	s.code(`info, err := p.Info(ctx, res.RefID)`)
	info, err := p.Info(ctx, res.RefID)
	if err != nil {
		return err
	}
	s.history(info)
	return s.tellReturn(ctx, res.RefID)
}

// tellReturn retries by hand what failed, now that the exchange is there again.
func (s *show) tellReturn(ctx context.Context, ref refcache.Ref) error {
	p, a := s.p, s.a
	s.exchange.open.Store(true)
	s.say("", "The exchange comes back. A retry by hand:")
	s.code(`_, err := a.Retry(ctx, ref)`)
	_, err := a.Retry(ctx, ref)
	if !errors.Is(err, refcache.ErrRetriesExhausted) {
		return fmt.Errorf("retry of the exhausted call %s was not refused: %w", ref, err)
	}
	s.answer("%s", s.Paint(term.Red, refcache.ErrRetriesExhausted.Error()))

	s.say("", "Refused, lest somebody repeats by mistake what was given up. A fresh budget:")
	s.code(`_, err = a.Retry(ctx, ref, admin.FreshBudget())`, `done, err := producer.Wait(ctx, p, Rate, ref)`)
	if _, err = a.Retry(ctx, ref, admin.FreshBudget()); err != nil {
		return err
	}
	done, err := producer.Wait(ctx, p, Rate, ref)
	if err != nil {
		return err
	}
	info, err := p.Info(ctx, ref)
	if err != nil {
		return err
	}
	s.answer("%s  ref_id:%s", s.status(info.Status), info.RefID)
	if err := s.value(done.Value); err != nil {
		return err
	}
	s.say("", fmt.Sprintf("The same ref_id, in its cycle %d; the %d failed attempts stay in its history.", info.Cycle, info.AttemptsTotal))
	return nil
}

// history is a table of the failed attempts; times count from the call's creation.
func (s *show) history(info refcache.TaskInfo) {
	s.answer("%s", s.Paint(term.Faint, "cycle  attempt  failed after  next attempt  error"))
	for _, a := range info.RetryHistory {
		next := "none"
		if a.Delay > 0 {
			next = "in " + brief(a.Delay)
		}
		s.answer("%5d  %7d  %12s  %-12s  %s", a.Cycle, a.Attempt, brief(a.Timestamp.Sub(info.CreatedAt)), next, a.Error)
	}
}
