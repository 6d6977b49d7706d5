package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/refcache"
)

// retryAllFlags are those that say something about --all alone.
type retryAllFlags struct {
	all, dryRun, yes bool
	chosen           *filterFlags
}

func addRetryAllFlags(cmd *cobra.Command) *retryAllFlags {
	var f retryAllFlags
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "all failed calls, or those that --error, --func, --queue\nand --since leave")
	f.chosen = addFilterFlags(flags)
	flags.BoolVar(&f.dryRun, "dry-run", false, "only count what --all would retry")
	flags.BoolVar(&f.yes, "yes", false, "do not ask before --all")
	return &f
}

// check sees to it that calls are named, or all are meant, and never both.
func (f *retryAllFlags) check(cmd *cobra.Command, args []string) error {
	if !f.all {
		for _, name := range append([]string{"dry-run", "yes"}, filterFlagNames...) {
			if cmd.Flags().Changed(name) {
				return usagef("--%s needs --all", name)
			}
		}
		return takes(1, -1, "one REF or more, or --all")(cmd, args)
	}
	if cmd.Flags().Changed("wait") {
		return usagef("--wait is for calls that are named, not for --all")
	}
	return takes(0, 0, "no REF beside --all")(cmd, args)
}

// bulk retries all failed calls that pass a filter.
type bulk struct {
	*app
	admin              *admin.Admin
	filter             admin.Filter
	policy             policyFlags // of fresh ones
	fresh, dryRun, yes bool
}

func (b bulk) run(ctx context.Context) error {
	if !b.dryRun && !b.yes && !b.canAsk() {
		return usagef("retry --all asks first, and there is no terminal to ask on: add --yes, or --dry-run to count only")
	}
	operator, end, err := b.newAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	b.admin = operator
	options, err := b.options()
	if err != nil {
		return err
	}
	found, err := b.count(ctx)
	if err != nil {
		return err
	}
	if b.dryRun {
		return cmp.Or(b.printFailures(found), found.missing)
	}
	b.notice("%s", found.sentence())
	switch {
	case found.total == 0:
		return found.missing
	case found.retriable() == 0:
		return exitStatus(exitOther)
	}
	if !b.yes {
		yes, err := b.ask(ctx, "Retry "+term.Plural(found.retriable(), "call", "calls")+"?")
		if err != nil {
			return err
		}
		if !yes {
			b.notice("nothing was retried")
			return exitStatus(exitOther)
		}
	}
	return b.retry(ctx, found.total, options)
}

// options are those of all retries. Flags change what config.yaml says of one function.
func (b bulk) options() ([]admin.RetryOption, error) {
	if !b.fresh {
		return nil, nil
	}
	if len(b.policy) == 0 {
		return b.freshBudget(), nil
	}
	fn, err := b.cfg.Function(b.filter.Func)
	if err != nil {
		return nil, usagef("--%s beside --all needs --func with a function of config.yaml", b.policy.given()[0])
	}
	policy, err := b.policy.apply(&fn.Func)
	return append([]admin.RetryOption{admin.Under(policy)}, b.freshBudget()...), err
}

// retry does it and tells of each call. What it cannot tell does not stop the telling of how many there were.
func (b bulk) retry(ctx context.Context, expected int, options []admin.RetryOption) error {
	walk, stop := context.WithCancel(ctx)
	defer stop()
	out, bar := b.startBulkBar("retrying", "not retried", func() int { return expected })
	var done retriedCount
	var ended, unwritten error
	for r, err := range b.admin.RetryAll(walk, b.filter, options...) {
		if err != nil {
			ended = err
			break
		}
		done.add(r)
		bar.shows(done.accepted+done.refused(), done.refused())
		if unwritten == nil {
			unwritten = b.report(out, r)
		}
		if unwritten != nil {
			stop() // and count what was under way
		}
	}
	bar.end()
	if unwritten != nil {
		ended = unwritten
	}
	return b.concludeAll(ctx, done, ended)
}

// concludeAll says how many were retried, and why the others were not.
func (b bulk) concludeAll(ctx context.Context, done retriedCount, ended error) error {
	switch {
	case ended == nil:
		b.notice("%s", done.sentence())
	case !failed(ended):
		b.complain(ended)
		b.notice("%s", done.sentence())
	case ctx.Err() != nil:
		b.notice("interrupted: %s; the rest is untouched", done.sentence())
	default:
		b.complain(ended)
		b.notice("%s; the rest is untouched", done.sentence())
	}
	if ended != nil || done.refused() > 0 {
		return exitStatus(exitOther)
	}
	return nil
}

// report prints what became of one call.
func (b bulk) report(out *app, r admin.Retried) error {
	if b.asJSON {
		var why *string
		if r.Err != nil {
			why = new(r.Err.Error())
		}
		return out.printObject(struct {
			RefID   refcache.Ref    `json:"ref_id"`
			Func    string          `json:"func"`
			Status  refcache.Status `json:"status"`
			Retried bool            `json:"retried"`
			Error   *string         `json:"error"`
		}{r.Task.RefID, r.Task.Func, r.Task.Status, r.Accepted(), why})
	}
	more := retriedHow(r.Task, b.fresh)
	if !r.Accepted() {
		more = "  not retried: " + whyNot(r)
	} else if r.Err != nil {
		more += ", not queued yet"
	}
	p := page{term.Page{Screen: out.stdout}}
	p.headline(r.Task.Status, r.Task.RefID, more)
	return p.Print()
}

// refusals are the reasons for which calls are not retried, with the words for them.
var refusals = [...]struct {
	err  error
	word string
}{
	{refcache.ErrRetriesExhausted, "exhausted (only --fresh retries these)"},
	{refcache.ErrNotFailed, "not failed any more"},
	{refcache.ErrTaskNotFound, "gone"},
	{refcache.ErrUnreadable, "unreadable"},
	{nil, "without an answer (they may have been)"},
}

// refusal is the place in refusals of an error.
func refusal(err error) int {
	for i, r := range refusals {
		if r.err != nil && errors.Is(err, r.err) {
			return i
		}
	}
	return len(refusals) - 1
}

// whyNot tells it of a single call: the cause, too, if a word for it says little.
func whyNot(r admin.Retried) string {
	switch i := refusal(r.Err); refusals[i].err {
	case nil:
		return term.OneLine(r.Err.Error())
	case refcache.ErrUnreadable:
		return unreadableHow(r.Err.Error(), r.Task.RefID)
	case refcache.ErrRetriesExhausted:
		return "exhausted"
	default:
		return refusals[i].word
	}
}

// retriedCount counts what became of the calls.
type retriedCount struct {
	accepted, unqueued int
	because            [len(refusals)]int
}

func (t *retriedCount) add(r admin.Retried) {
	if !r.Accepted() {
		t.because[refusal(r.Err)]++
		return
	}
	t.accepted++
	if r.Err != nil {
		t.unqueued++
	}
}

func (t *retriedCount) refused() (n int) {
	for _, some := range t.because {
		n += some
	}
	return n
}

func (t *retriedCount) sentence() string {
	text := "retried " + term.Plural(t.accepted, "call", "calls")
	if t.unqueued > 0 {
		text += fmt.Sprintf(" (%s stored, not queued; a worker's sweep queues them)", term.Number(t.unqueued))
	}
	if t.refused() == 0 {
		return text
	}
	var parts []string
	for i, n := range t.because {
		if n > 0 {
			parts = append(parts, term.Number(n)+" "+refusals[i].word)
		}
	}
	return text + ", not " + term.Plural(t.refused(), "other", "others") + ": " + strings.Join(parts, ", ")
}

// of describes what a filter leaves: " of function f in queue q".
func of(f admin.Filter) string {
	var text string
	if f.Func != "" {
		text += " of function " + f.Func
	}
	if f.Queue != "" {
		text += " in queue " + f.Queue
	}
	if f.Error != "" {
		text += fmt.Sprintf(" with %q in the error", f.Error)
	}
	if f.Since > 0 {
		text += " of the last " + term.Exact(f.Since.Round(time.Millisecond))
	}
	return text
}
