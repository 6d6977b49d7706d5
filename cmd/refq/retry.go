package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func newRetry(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retry REF... | --all",
		Short: "Run failed calls again",
		Long: `Run failed calls again, each with one of the retries that it has left. A call
that has none needs --fresh. With --wait the exit code tells the status of the
calls, else 0 means that all were accepted.

--fresh runs a call under today's policy: that of config.yaml, changed by the flags
for it; else what living workers declare; else the one on record. "refq status"
shows how they differ.

--all takes all failed calls, however many; it counts them, asks, and tells what
became of each. Interrupted, it leaves the rest as it is: run it again.`,
	}
	var wait time.Duration
	fresh := cmd.Flags().Bool("fresh", false, "start a new cycle, with all of max_retries")
	durationFlag(cmd.Flags(), &wait, "wait", "wait so long for the end; 0: not at all")
	policy := policyFlags{}
	policy.addTo(cmd.Flags())
	bulky := addRetryAllFlags(cmd)
	cmd.Args = bulky.check
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(policy) > 0 && !*fresh {
			return usagef("--%s needs --fresh: a retry that is left runs under the policy on record", policy.given()[0])
		}
		if _, err := policy.apply(&config.Func{Name: "any"}); err != nil { // before anything is retried
			return err
		}
		if bulky.all {
			filter, err := bulky.chosen.filter()
			if err != nil {
				return err
			}
			return bulk{app: a, filter: filter, fresh: *fresh, policy: policy, dryRun: bulky.dryRun, yes: bulky.yes}.run(cmd.Context())
		}
		refs, err := parseRefs(args)
		if err != nil {
			return err
		}
		r := retrier{app: a, fresh: *fresh, policy: policy, exitByStatus: cmd.Flags().Changed("wait"), wait: wait}
		return r.run(cmd.Context(), refs)
	}
	return cmd
}

type retrier struct {
	*app
	producer     *producer.Producer // waits for the ends
	admin        *admin.Admin
	fresh        bool
	policy       policyFlags // of a fresh one
	exitByStatus bool
	wait         time.Duration
}

// run retries all calls before it waits for the first of them.
func (r retrier) run(ctx context.Context, refs []refcache.Ref) error {
	p, operator, end, err := r.newProducerAndAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	r.producer, r.admin = p, operator

	accepted := map[refcache.Ref]response{}
	unaccepted := r.forEach(ctx, refs, func(ref refcache.Ref) error {
		res, err := r.retry(ctx, ref)
		if err == nil {
			accepted[ref] = res
		}
		return err
	})
	if ctx.Err() != nil && unaccepted != nil {
		return unaccepted
	}
	until := time.Now().Add(r.wait)
	ended := r.forEach(ctx, refs, func(ref refcache.Ref) error {
		res, ok := accepted[ref]
		if !ok {
			return nil
		}
		return r.conclude(ctx, res, time.Until(until))
	})
	if unaccepted != nil {
		return unaccepted
	}
	return ended
}

func (r retrier) retry(ctx context.Context, ref refcache.Ref) (response, error) {
	options, err := r.options(ctx, ref)
	if err != nil {
		return response{}, err
	}
	res, err := r.admin.Retry(ctx, ref, options...)
	if errors.Is(err, refcache.ErrNotQueued) { // accepted all the same
		r.complain(err)
		return res, nil
	}
	return res, err
}

// options are those of the retry of a call.
func (r retrier) options(ctx context.Context, ref refcache.Ref) ([]admin.RetryOption, error) {
	if !r.fresh {
		return nil, nil
	}
	if len(r.policy) == 0 {
		return r.freshBudget(), nil
	}
	known, err := r.admin.Policies(ctx, ref)
	if err != nil {
		return nil, err
	}
	f := config.FuncOf(r.today(known))
	policy, err := r.policy.apply(&f)
	return []admin.RetryOption{admin.FreshBudget(), admin.Under(policy)}, err
}

// conclude tells of a call that was accepted; with --wait, of its end.
func (r retrier) conclude(ctx context.Context, res response, waitLimit time.Duration) error {
	if r.wait > 0 && waitLimit > 0 {
		var err error
		if res, err = r.await(ctx, r.producer, res, waitLimit); err != nil {
			return err
		}
	}
	if r.exitByStatus {
		return r.app.conclude(res, nil, refcache.Standard)
	}
	if r.asJSON {
		return r.answer(res, refcache.Standard)
	}
	p := page{term.Page{Screen: r.stdout}}
	p.headline(res.Status, res.RefID, retriedHow(res, r.fresh))
	return p.Print()
}

func retriedHow(res response, fresh bool) string {
	if fresh {
		return "  a new cycle"
	}
	return fmt.Sprintf("  retry %d of %d", res.RetryCount, res.MaxRetries)
}
