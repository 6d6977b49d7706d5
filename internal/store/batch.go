package store

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/refcache"
)

// Call is a Submission of many, with the ref_id that it comes to.
type Call struct {
	Ref refcache.Ref
	Submission
}

// SubmitMany is Submit for many calls, in one round trip. The answers are in the order of the calls, each with an
// error of its own in Err. The same call may be among them more than once. All or none of them have an Enqueue, of one text.
func (s *Store) SubmitMany(ctx context.Context, calls []Call) []Submitted {
	answers := s.submitMany(ctx, calls)
	var again []Call // without an inbox: see Submit
	var places []int
	for i, made := range answers {
		if calls[i].Inbox != "" && script.Full(made.Err) {
			again, places = append(again, calls[i]), append(places, i)
			again[len(again)-1].Inbox = ""
		}
	}
	for n, made := range s.submitMany(ctx, again) {
		answers[places[n]] = made
	}
	return answers
}

func (s *Store) submitMany(ctx context.Context, calls []Call) []Submitted {
	if len(calls) == 0 {
		return nil
	}
	var transition *redis.Script
	uses := make([]script.Use, len(calls))
	for i, c := range calls {
		transition, uses[i] = withPiggyback("submit", submitScript, c.Enqueue, c.use(c.Ref))
	}
	answers := make([]Submitted, len(calls))
	for i, cmd := range script.RunAll(ctx, s.rdb, transition, uses) {
		answers[i], answers[i].Err = s.submitted(calls[i].Ref, calls[i].Submission, s.counted(transition, cmd))
	}
	return answers
}
