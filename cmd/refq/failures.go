package main

import (
	"context"
	"strings"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/errpattern"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/refcache"
)

// shownKinds are those that people are shown.
const shownKinds = 20

// failures counts failed calls.
type failures struct {
	filter admin.Filter
	fresh  bool

	total, left, exhausted, unreadable int

	missing error // nodes that did not answer, which was said; nil: all did

	errpattern.Groups
}

// count counts the calls that would be retried, by a walk through all of them.
func (b bulk) count(ctx context.Context) (*failures, error) {
	f := &failures{filter: b.filter, fresh: b.fresh}
	filter := b.filter
	filter.Status = refcache.Failed
	for info, err := range b.admin.List(ctx, filter) {
		if _, partial := partly(err); partial {
			b.complain(err)
			f.missing = exitStatus(exitOther)
			continue
		}
		if err != nil {
			return nil, err
		}
		f.add(info)
	}
	return f, nil
}

func (f *failures) add(info refcache.TaskInfo) {
	f.total++
	switch {
	case info.Unreadable != "":
		f.unreadable++
	case info.CanRetry:
		f.left++
	default:
		f.exhausted++
	}
	f.Add(info)
}

// retriable is how many would be accepted.
func (f *failures) retriable() int {
	if f.fresh {
		return f.left + f.exhausted
	}
	return f.left
}

func (f *failures) sentence() string {
	if f.total == 0 {
		return "no failed calls" + of(f.filter)
	}
	var parts []string
	part := func(n int, text string) {
		if n > 0 {
			parts = append(parts, term.Number(n)+" "+text)
		}
	}
	part(f.left, "with retries left")
	if f.fresh {
		part(f.exhausted, "exhausted")
	} else {
		part(f.exhausted, "exhausted (only --fresh retries these)")
	}
	part(f.unreadable, "unreadable")
	text := term.Plural(f.total, "failed call", "failed calls") + of(f.filter) + ": " + strings.Join(parts, ", ")
	if f.fresh {
		text += "; a retry begins a new cycle"
	}
	return text
}

type failureKindJSON struct {
	Func  string `json:"func"`
	Error string `json:"error"`
	Calls int    `json:"calls"`
}

// printFailures prints the answer to --dry-run.
func (b bulk) printFailures(f *failures) error {
	kinds := f.Sorted()
	if b.asJSON {
		list := make([]failureKindJSON, len(kinds))
		for i, k := range kinds {
			list[i] = failureKindJSON{k.Func, k.Error, k.Calls}
		}
		return b.printObject(struct {
			Failed      int               `json:"failed"`
			Retriable   int               `json:"retriable"`
			RetriesLeft int               `json:"retries_left"`
			Exhausted   int               `json:"exhausted"`
			Unreadable  int               `json:"unreadable"`
			Kinds       []failureKindJSON `json:"kinds"`
			OtherKinds  int               `json:"other_kinds"`
		}{f.total, f.retriable(), f.left, f.exhausted, f.unreadable, list, f.Others})
	}
	p := term.Page{Screen: b.stdout}
	p.Line("%s", term.Printable(f.sentence()))
	if f.total == 0 {
		return p.Print()
	}
	rows := term.Table{}
	rows.Header("CALLS", "FUNCTION", "ERROR")
	hidden := f.Others
	for i, k := range kinds {
		if i >= shownKinds {
			hidden += k.Calls
			continue
		}
		rows.Add(nil, term.Number(k.Calls), term.Printable(k.Func), term.Printable(k.Error))
	}
	rows.AddTo(&p)
	if hidden > 0 {
		p.Line("%s", p.Paint(term.Faint, "… and "+term.Plural(hidden, "call", "calls")+" with other errors"))
	}
	return p.Print()
}
