package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/refcache"
)

func newLs(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List calls, newest first",
		Long: `List calls, newest first: by the end of ended ones, the start of processing ones,
the next attempt of retrying ones, the creation of pending and waiting ones.
--since goes by the same. A call that cannot be read is listed with the cause, and the exit code
is 1 then.`,
		Args: takes(0, 0, "no argument"),
	}
	flags := cmd.Flags()
	status := flags.String("status", "", "only calls in this status")
	stale := flags.Bool("stale", false, "only complete calls whose last refresh failed or was cancelled")
	chosen := addFilterFlags(flags)
	limit := 50
	flags.Var(setter{"50", "number", func(value string) (err error) {
		if limit, err = strconv.Atoi(value); err != nil || limit < 0 {
			return fmt.Errorf("%q is not a whole number, 0 (all) or more", value)
		}
		return nil
	}}, "limit", "how many at most; 0: all")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		filter, err := chosen.filter()
		if err != nil {
			return err
		}
		if *status != "" {
			if filter.Status, err = oneOf("status", *status, refcache.Statuses...); err != nil {
				return err
			}
		}
		filter.Stale = *stale
		return a.ls(cmd.Context(), filter, limit)
	}
	return cmd
}

func (a *app) ls(ctx context.Context, filter admin.Filter, limit int) error {
	operator, end, err := a.newAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	l := lister{app: a, filter: filter}
	l.rows.Header("STATUS", "REF", "FUNCTION", "WHEN", "DETAIL")
	for info, err := range operator.List(ctx, filter) {
		if _, partial := partly(err); partial {
			l.complain(err)
			l.partial = true
			continue
		}
		if err != nil {
			return errors.Join(l.print(), err) // what was found is shown all the same
		}
		if l.more = limit > 0 && l.n == limit; l.more {
			break
		}
		if err := l.add(info); err != nil {
			return err
		}
	}
	if err := l.print(); err != nil {
		return err
	}
	return l.conclude()
}

// lister is what ls has found so far.
type lister struct {
	*app
	filter        admin.Filter
	rows          term.Table
	n, unreadable int
	more          bool
	partial       bool // queues are missing, which was said
}

func (l *lister) add(info refcache.TaskInfo) error {
	l.n++
	if info.Unreadable != "" {
		l.unreadable++
	}
	if l.asJSON {
		return l.printObject(info)
	}
	l.rows.Add([]string{term.StatusColours[info.Status], "", "", term.Faint}, string(info.Status), string(info.RefID),
		term.Printable(info.Func), listedAt(info), listedDetail(info))
	return nil
}

func (l *lister) print() error {
	if l.n == 0 || l.asJSON {
		return nil
	}
	out := term.Page{Screen: l.stdout}
	l.rows.AddTo(&out)
	return out.Print()
}

func (l *lister) conclude() error {
	switch {
	case l.asJSON, l.n == 0 && l.partial:
	case l.n == 0 && l.filter == (admin.Filter{}):
		l.notice("no calls yet; make one: refq call FUNC [JSON]")
	case l.n == 0:
		l.notice("no such calls")
	case l.more:
		l.notice("there are more: --limit 0 lists all")
	}
	if l.unreadable > 0 {
		l.notice("%s cannot be read", term.Plural(l.unreadable, "call", "calls"))
	}
	if l.unreadable > 0 || l.partial {
		return exitStatus(exitOther)
	}
	return nil
}

// listedAt tells the time by which a task is listed.
func listedAt(i refcache.TaskInfo) string {
	switch {
	case i.Unreadable != "":
		return "-"
	case i.Status == refcache.Processing && i.StartedAt != nil:
		return term.Ago(*i.StartedAt)
	case i.Status == refcache.Retrying && i.NextRetryAt != nil:
		return term.Ahead(*i.NextRetryAt)
	case i.Status.IsFinal() && i.CompletedAt != nil:
		return term.Ago(*i.CompletedAt)
	}
	return term.Ago(i.CreatedAt)
}

// listedDetail is what a person wants to know of a task in its status.
func listedDetail(i refcache.TaskInfo) string {
	if i.Unreadable != "" {
		return unreadableHow(i.Unreadable, i.RefID)
	}
	switch i.Status {
	case refcache.Processing:
		text := fmt.Sprintf("attempt %d", i.Attempt)
		if i.Progress != nil {
			text += ", " + progressText(*i.Progress)
		}
		return text
	case refcache.Retrying:
		return fmt.Sprintf("retry %d of %d: %s", i.RetryCount, i.MaxRetries, firstLine(i.LastError))
	case refcache.Failed:
		return fmt.Sprintf("%s: %s", term.Plural(i.Attempt, "attempt", "attempts"), firstLine(i.LastError))
	case refcache.Complete:
		if i.Error != "" {
			return "stale, its refresh failed: " + firstLine(i.Error)
		}
		if i.StartedAt == nil || i.CompletedAt == nil {
			return ""
		}
		text := "took " + term.Short(i.CompletedAt.Sub(*i.StartedAt).Round(time.Millisecond))
		if i.Attempt > 1 {
			text += fmt.Sprintf(" in attempt %d", i.Attempt)
		}
		return text
	}
	return term.Printable(i.Note)
}

// unreadableHow is why a record cannot be read, in a line that names the call already.
func unreadableHow(text string, ref refcache.Ref) string {
	if _, how, found := strings.Cut(text, "record of "+string(ref)+" "); found {
		text = strings.TrimPrefix(how, "is ")
	}
	return term.OneLine(text)
}
