package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/refcache"
)

func newStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status REF",
		Short: "Show all that is known of a call: attempts, errors, delays, events",
		Args:  takes(1, 1, "one REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := parseRefs(args)
			if err != nil {
				return err
			}
			p, operator, end, err := a.newProducerAndAdmin(cmd.Context())
			if err != nil {
				return err
			}
			defer end()
			info, err := p.Info(cmd.Context(), refs[0])
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.printObject(info)
			}
			known, err := operator.Policies(cmd.Context(), refs[0])
			if err != nil {
				return err
			}
			out := page{term.Page{Screen: a.stdout}}
			out.status(info, differences(known.Stored, a.today(known)))
			return out.Print()
		},
	}
}

// status is everything about a task: what it is, how it stands, how it came there. today tells how today's policy differs.
func (p *page) status(i refcache.TaskInfo, today string) {
	p.headline(i.Status, i.RefID, "")
	p.Field("function", statusFunction(i))
	if i.Note != "" {
		p.Field("note", p.Paint(term.Yellow, term.Printable(i.Note)))
	}
	if i.Error != "" {
		p.Field("error", p.Paint(term.Red, firstLine(i.Error)))
	}
	if i.Error != "" && i.ErrorCode != "" {
		p.Field("code", strings.TrimSpace(i.ErrorCode+"  "+string(term.PrintableJSON(i.ErrorDetails))))
	}
	p.Field("retries", statusRetries(i))
	p.Field("policy", statusPolicy(i))
	if today != "" {
		p.Field("today", today)
	}
	p.when("created", &i.CreatedAt)
	p.when("kept until", i.ExpiresAt)
	p.Line("")
	p.timeline(i)
}

func statusFunction(i refcache.TaskInfo) string {
	text := term.Printable(i.Func)
	if i.Version > 1 {
		text += fmt.Sprintf(", version %d", i.Version)
	}
	return text + ", queue " + i.Queue + ", namespace " + term.Printable(i.Namespace)
}

func statusRetries(i refcache.TaskInfo) string {
	text := fmt.Sprintf("%d of %d used", i.RetryCount, i.MaxRetries)
	if i.Status == refcache.Failed {
		text = budget(i.RetryCount, i.MaxRetries, i.CanRetry, i.RefID)
	}
	if i.LostCount > 0 {
		text += fmt.Sprintf("; %s, which cost none", term.Plural(i.LostCount, "attempt lost", "attempts lost"))
	}
	return text
}

func statusPolicy(i refcache.TaskInfo) string {
	var parts []string
	if i.MaxRetries > 0 {
		parts = append(parts, fmt.Sprintf("retry after %s, each further delay %g times longer", term.Exact(i.RetryDelay), i.RetryBackoffFactor))
	}
	if i.Timeout > 0 {
		parts = append(parts, "timeout "+term.Exact(i.Timeout))
	} else {
		parts = append(parts, "no timeout")
	}
	return strings.Join(parts, "; ")
}
