package store

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/refcache"
)

// Call is a Submission of many, with the ref_id that it comes to.
type Call struct {
	Ref refcache.Ref
	Submission
}

// Answered is what [Store.Submit] would have returned for one of many.
type Answered struct {
	Submitted
	Err error
}

// SubmitMany is Submit for many calls, in one round trip. The answers are in the order of the calls; the same call may
// be among them more than once. All or none of them have a Ring, of one text.
func (s *Store) SubmitMany(ctx context.Context, calls []Call) []Answered {
	uses, riding := make([]Use, len(calls)), make([]Use, len(calls))
	var short *redis.Script
	for i, c := range calls {
		uses[i] = c.use(c.Ref)
		short, riding[i] = submitScripts.with(c.Ring, uses[i])
	}
	answers := make([]Answered, len(calls))
	var places []int
	var beyond []Use
	for i, cmd := range RunAll(ctx, s.rdb, short, riding) {
		if isBeyond(cmd.Err()) {
			places, beyond = append(places, i), append(beyond, uses[i])
			continue
		}
		answers[i].Submitted, answers[i].Err = s.submitted(calls[i].Ref, cmd)
	}
	if len(beyond) > 0 {
		for n, cmd := range RunAll(ctx, s.rdb, submitScripts.full, beyond) {
			i := places[n]
			answers[i].Submitted, answers[i].Err = s.submitted(calls[i].Ref, cmd)
		}
	}
	return answers
}

// Use is one use of a script.
type Use struct {
	Keys []string
	Args []any
}

// RunAll runs a script once for each use, in one pipeline. The answers are in the order of the uses, each with an error
// of its own. When an answer is lost the client sends all of them again, so the script must bear to come twice.
func RunAll(ctx context.Context, rdb redis.UniversalClient, script *redis.Script, uses []Use) []*redis.Cmd {
	answers := make([]*redis.Cmd, len(uses))
	places := make([]int, len(uses))
	for i := range places {
		places[i] = i
	}
	send := func(places []int, first func(context.Context, redis.Scripter, []string, ...any) *redis.Cmd) {
		pipe := rdb.Pipeline()
		for n, i := range places {
			run := script.EvalSha
			if n == 0 {
				run = first
			}
			answers[i] = run(ctx, pipe, uses[i].Keys, uses[i].Args...)
		}
		_, _ = pipe.Exec(ctx) // each answer has its error
	}
	send(places, script.EvalSha)
	refused := slices.DeleteFunc(places, func(i int) bool { return !refusedForNow(answers[i].Err()) })
	if len(refused) > 0 {
		send(refused, script.Eval) // the first takes the text along, for all
	}
	return answers
}

// refusedForNow reports whether Redis did not run a script, and may do so when it is sent again: it has not met the
// script; or it is starting, or no longer the master, which the client looks for only in the first answer of a pipeline.
func refusedForNow(err error) bool {
	for _, prefix := range []string{"NOSCRIPT", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}
