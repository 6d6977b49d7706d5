package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func newLs(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List calls, newest first",
		Long: `List calls, newest first: by the end of ended ones, the start of processing ones,
the next attempt of retrying ones, the creation of pending ones.`,
		Args: takes(0, 0, "no argument"),
	}
	flags := cmd.Flags()
	status := flags.String("status", "", "only calls in this status")
	function := flags.String("func", "", "only calls of this function")
	queue := flags.String("queue", "", "only calls in this queue")
	limit := 50
	flags.Var(setter{"50", "number", func(value string) (err error) {
		if limit, err = strconv.Atoi(value); err != nil || limit < 0 {
			return fmt.Errorf("%q is not a whole number, 0 (all) or more", value)
		}
		return nil
	}}, "limit", "how many at most; 0: all")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		filter, err := listFilter(*status, *function, *queue)
		if err != nil {
			return err
		}
		return a.ls(cmd.Context(), filter, limit)
	}
	return cmd
}

func listFilter(status, function, queue string) (producer.Filter, error) {
	f := producer.Filter{Func: function, Queue: queue}
	if status != "" {
		s, err := oneOf("status", status, refcache.Statuses...)
		if err != nil {
			return f, err
		}
		f.Status = s
	}
	if function != "" {
		if err := refcache.CheckName(function); err != nil {
			return f, usagef("--func: %w", err)
		}
	}
	if queue != "" {
		if err := refcache.CheckQueue(queue); err != nil {
			return f, usagef("--queue: %w", err)
		}
	}
	return f, nil
}

func (a *app) ls(ctx context.Context, filter producer.Filter, limit int) error {
	p, end, err := a.newProducer(ctx)
	if err != nil {
		return err
	}
	defer end()
	rows := table{}
	rows.header("STATUS", "REF", "FUNCTION", "WHEN", "DETAIL")
	n, more := 0, false
	for info, err := range p.List(ctx, filter) {
		if err != nil {
			return err
		}
		if more = limit > 0 && n == limit; more {
			break
		}
		n++
		if a.asJSON {
			if err := a.printObject(info); err != nil {
				return err
			}
			continue
		}
		rows.add([]string{statusColours[info.Status], "", "", faint}, string(info.Status), string(info.RefID),
			printable(info.Func), listedAt(info), listedDetail(info))
	}
	if n > 0 && !a.asJSON {
		out := page{screen: a.stdout}
		rows.addTo(&out)
		err = out.print()
	}
	a.lsNotice(n, more)
	return err
}

func (a *app) lsNotice(n int, more bool) {
	switch {
	case a.asJSON:
	case n == 0:
		a.notice("no calls")
	case more:
		a.notice("there are more: --limit 0 lists all")
	}
}

// listedAt tells the time by which a task is listed.
func listedAt(i refcache.TaskInfo) string {
	switch {
	case i.Status == refcache.Processing && i.StartedAt != nil:
		return ago(*i.StartedAt)
	case i.Status == refcache.Retrying && i.NextRetryAt != nil:
		return ahead(*i.NextRetryAt)
	case i.Status.IsFinal() && i.CompletedAt != nil:
		return ago(*i.CompletedAt)
	}
	return ago(i.CreatedAt)
}

// listedDetail is what a person wants to know of a task in its status.
func listedDetail(i refcache.TaskInfo) string {
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
		return fmt.Sprintf("%s: %s", plural(i.Attempt, "attempt", "attempts"), firstLine(i.LastError))
	case refcache.Complete:
		if i.StartedAt == nil || i.CompletedAt == nil {
			return ""
		}
		text := "took " + short(i.CompletedAt.Sub(*i.StartedAt).Round(time.Millisecond))
		if i.Attempt > 1 {
			text += fmt.Sprintf(" in attempt %d", i.Attempt)
		}
		return text
	}
	return printable(i.Note)
}
