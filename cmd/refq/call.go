package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// callPlan is what the flags of refq call say.
type callPlan struct {
	policy    policyFlags
	wait      time.Duration
	waitGiven bool
	again     []producer.CallOption // what to do with an answer that is there
	format    refcache.Format
}

func newCall(a *app) *cobra.Command {
	plan := callPlan{policy: policyFlags{}}
	cmd := &cobra.Command{
		Use:   "call FUNC [JSON | - | @FILE | --each]",
		Short: "Call a function and wait for the answer",
		Long: `Call a function that config.yaml declares, and wait for the answer. The arguments
are JSON, - for stdin or @FILE for a file; {} if left out. A call that was made
before is not run again: this one joins it, or reads its result. No worker needs
to be there: the call is pending until one comes.

--each makes a call with each line of stdin, which is one JSON value, many at a
time, and prints one line of answer for each, in their order; -o json makes it one
object. It waits for the end of each call, unless --wait says how long. A line that
is bad or cannot be called gets a line that begins with "error" and names it, and
makes the exit code 1; else it is that of the worst answer. Interrupted, run it
again with the same input: what was called goes on and is not run again.`,
		Example: `  refq call thumb '{"page":3}'
  refq call thumb @page3.json --wait 0
  refq call thumb - -o json < page3.json
  refq call thumb --each -o json < pages.jsonl > thumbs.jsonl`,
	}
	each := false
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if each {
			return takes(1, 1, "a FUNC alone beside --each, which reads stdin")(cmd, args)
		}
		return takes(1, 2, "a FUNC and its arguments as one JSON text")(cmd, args)
	}
	flags := cmd.Flags()
	flags.BoolVar(&each, "each", false, "make a call with each line of stdin")
	durationFlag(flags, &plan.wait, "wait", "wait so long for the answer; 0: not at all\n(default: the function's async_timeout; with --each: its end)")
	plan.policy.addTo(flags)
	retryFailed := flags.Bool("retry-failed", false, "run it anew if it failed")
	refresh := flags.Bool("refresh", false, "run it again although it is complete; a failure that\nstill answers stays (see --retry-failed)")
	var maxAge time.Duration
	durationFlag(flags, &maxAge, "max-age", "take no result of an attempt begun longer ago: run it again")
	onlyIfCached := flags.Bool("only-if-cached", false, "run nothing: exit with code 1 if no answer is there")
	format := formatFlag(flags)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		plan.waitGiven = cmd.Flags().Changed("wait")
		switch {
		case *onlyIfCached && (*refresh || *retryFailed):
			return usagef("--only-if-cached runs nothing, --refresh and --retry-failed do: leave one out")
		case cmd.Flags().Changed("max-age") && maxAge == 0:
			return usagef("--max-age is 0, must be more; --refresh takes no result that is there")
		}
		plan.again = options(*retryFailed, *refresh, *onlyIfCached, maxAge)
		if plan.format, err = format(); err != nil {
			return err
		}
		if each {
			return a.callEach(cmd.Context(), args[0], plan)
		}
		return a.call(cmd.Context(), args, plan)
	}
	return cmd
}

func (a *app) call(ctx context.Context, args []string, plan callPlan) error {
	if err := a.load(); err != nil {
		return err
	}
	fn, waitLimit, err := a.plannedFunction(args[0], plan)
	if err != nil {
		return err
	}
	in, err := a.arguments(fn, args[1:])
	if err != nil {
		return err
	}
	p, end, err := a.newProducer(ctx)
	if err != nil {
		return err
	}
	defer end()

	res, err := a.callAndWait(ctx, p, fn.Func, in, plan, waitLimit)
	return a.conclude(res, err, plan.format)
}

// callAndWait makes a call and waits for its end; on a terminal it shows the progress meanwhile. If ctx ends, the answer is
// the call as it was seen last. The error is that nothing is known of it, or a *refcache.TaskError of a refresh that ended
// without a new result.
func (a *app) callAndWait(ctx context.Context, p *producer.Producer, f config.Func, in json.RawMessage, plan callPlan, waitLimit time.Duration) (response, error) {
	f.AsyncTimeout = waitLimit
	if waitLimit <= 0 {
		f.AsyncTimeout = -1
	}
	ref, err := producer.RefOf(a.cfg.Namespace, f, in)
	if err != nil {
		return response{}, err
	}
	endWatch := a.watch(ctx, p, ref)
	res, err := producer.Call(ctx, p, f, in, plan.again...)
	seen := endWatch()
	var ended *refcache.TaskError
	switch {
	case errors.Is(err, refcache.ErrNotQueued):
		a.complain(err)
		return res, nil
	case errors.As(err, &ended) && ended.Refresh:
		return res, ended
	case ctx.Err() != nil && res.Status.InFlight():
		return later(res, seen), nil
	case ended != nil:
		return res, nil
	}
	return res, err
}

// options are those of calls that are made with these flags.
func options(retryFailed, refresh, onlyIfCached bool, maxAge time.Duration) []producer.CallOption {
	var options []producer.CallOption
	if retryFailed {
		options = append(options, producer.RetryFailed())
	}
	if refresh {
		options = append(options, producer.Refresh())
	}
	if onlyIfCached {
		options = append(options, producer.OnlyIfCached())
	}
	if maxAge > 0 {
		options = append(options, producer.MaxAge(maxAge))
	}
	return options
}

// plannedFunction is the declared function under the policy of the flags, and how long to wait for its answer.
func (a *app) plannedFunction(name string, plan callPlan) (config.Function, time.Duration, error) {
	if err := a.checkCaller(); err != nil {
		return config.Function{}, 0, err
	}
	fn, err := a.cfg.Function(name)
	if err != nil {
		return fn, 0, &usageError{err}
	}
	policy, err := plan.policy.apply(&fn.Func)
	if err != nil {
		return fn, 0, err
	}
	if plan.waitGiven {
		return fn, plan.wait, nil
	}
	return fn, policy.AsyncTimeout, nil
}

// arguments reads the arguments of a call from where the command line says.
func (a *app) arguments(fn config.Function, args []string) (json.RawMessage, error) {
	text, err := []byte("{}"), error(nil)
	switch {
	case len(args) == 0:
	case args[0] == "-":
		text, err = a.readArguments(a.stdin)
	case strings.HasPrefix(args[0], "@"):
		text, err = a.readFile(args[0][1:])
	default:
		text = []byte(args[0])
	}
	if errors.Is(err, refcache.ErrArgsTooLarge) {
		return nil, err
	}
	if err != nil {
		return nil, usagef("read arguments: %w", err)
	}
	in, err := codec.Written(text, fn.Args, fn.Func.KeyFields)
	if err != nil {
		return nil, usagef("%w; write JSON, - for stdin or @FILE", err)
	}
	if err := fn.CheckTags(in); err != nil {
		return nil, &usageError{err}
	}
	return in, nil
}

func (a *app) readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return a.readArguments(f)
}

// longestArguments is how long a text may be, with the space around the JSON, where it does not count.
func (a *app) longestArguments() int {
	const space = 4 << 10
	return a.cfg.MaxArgs + space
}

// readArguments reads no further than it takes to know that the text is too long.
func (a *app) readArguments(r io.Reader) ([]byte, error) {
	most := a.longestArguments()
	text, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err == nil && len(text) > most {
		return nil, fmt.Errorf("%w: more than max_args %d bytes; pass a reference to large data", refcache.ErrArgsTooLarge, a.cfg.MaxArgs)
	}
	return text, err
}
