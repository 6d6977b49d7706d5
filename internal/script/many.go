package script

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"
)

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
		for _, i := range places {
			Discreet(answers[i])
		}
	}
	send(places, script.EvalSha)
	if c, ok := rdb.(client); ok && slices.ContainsFunc(answers, func(a *redis.Cmd) bool { return misdirected(a.Err()) }) {
		c.turnAway()
	}
	refused := slices.DeleteFunc(places, func(i int) bool { return !refusedForNow(answers[i].Err()) })
	if len(refused) > 0 {
		send(refused, script.Eval) // the first takes the text along, for all
	}
	return answers
}

// refusedForNow reports whether Redis did not run a script, and may do so when it is sent again: it has not met the
// script; or it is starting, or no longer the master, which the client looks for only in the first answer of a
// pipeline.
func refusedForNow(err error) bool {
	for _, prefix := range []string{"NOSCRIPT", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}
