package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// linesAhead is how many lines may have been read whose answers are not printed: those behind a slow call wait for it.
const linesAhead = 4096

// each calls a function with each line of stdin, and prints the answers in the order of the lines.
type each struct {
	*app
	out    *app // where answers go; above the bar, if there is one
	format refcache.Format
	lines  *lines
	bar    *bulkBar
	done   eachCount
}

func (a *app) callEach(ctx context.Context, name string, plan callPlan) error {
	if err := a.load(); err != nil {
		return err
	}
	fn, waitLimit, err := a.plannedFunction(name, plan)
	if err != nil {
		return err
	}
	f := fn.Func
	p, end, err := a.newProducer(ctx)
	if err != nil {
		return err
	}
	defer end()
	f.AsyncTimeout = waitLimit
	switch {
	case !plan.waitGiven:
		f.AsyncTimeout = math.MaxInt64
	case waitLimit == 0:
		f.AsyncTimeout = -1
	}
	e := each{app: a, format: plan.format, lines: newLines(a.stdin, a.longestArguments(), fn)}
	e.out, e.bar = a.startBulkBar("calling", "without a result", e.lines.count)
	unwritten := e.run(ctx, p, f, plan.again)
	e.bar.end()
	return e.conclude(ctx, unwritten)
}

// run makes the calls. The error is that an answer could not be written.
func (e *each) run(ctx context.Context, p *producer.Producer, f config.Func, options []producer.CallOption) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	next, early := 0, map[int]response{}
	for i, res := range producer.CallMany(ctx, p, f, e.lines.read(reading), options...) {
		if ctx.Err() != nil {
			return nil
		}
		early[i] = res
		for res, ok := early[next]; ok; res, ok = early[next] {
			if err := e.report(next, res); err != nil {
				stop() // else leaving the loop would wait for the next line
				return err
			}
			delete(early, next)
			e.lines.answered(next)
			next++
			e.bar.shows(e.done.answers(), e.done.without())
		}
	}
	return nil
}

// report prints the answer of a line, counted from 0, and counts it.
func (e *each) report(i int, res response) error {
	err := res.Err
	if bad := e.lines.bad(i); bad != nil {
		err = bad
	}
	var ended *refcache.TaskError
	unqueued := errors.Is(err, refcache.ErrNotQueued)
	if err != nil && !unqueued && !errors.As(err, &ended) {
		if err := e.printError(i, res.RefID, err); err != nil {
			return err
		}
		e.done.errors++
		return nil
	}
	if unqueued {
		e.complain(err)
	}
	if err := e.print(res); err != nil {
		return err
	}
	if ended, kept := refreshError(err); kept {
		e.complain(err)
		e.done.addRefresh(ended)
	} else {
		e.done.add(res.Status)
	}
	return nil
}

func (e *each) print(res response) error {
	if e.asJSON {
		return e.out.answer(res, e.format)
	}
	p := page{term.Page{Screen: e.out.stdout}}
	p.headline(res.Status, res.RefID, e.outcome(res))
	return p.Print()
}

// printError prints, in the place of an answer, why there is none.
func (e *each) printError(i int, ref refcache.Ref, why error) error {
	if e.asJSON {
		var known *refcache.Ref
		if ref != "" {
			known = &ref
		}
		return e.out.printObject(struct {
			Line  int           `json:"line"`
			RefID *refcache.Ref `json:"ref_id"`
			Error string        `json:"error"`
		}{i + 1, known, why.Error()})
	}
	p := page{term.Page{Screen: e.out.stdout}}
	p.Line("%s  line %d: %s", p.Paint(term.Red+";"+term.Bold, fmt.Sprintf("%-10s", "error")), i+1, term.OneLine(why.Error()))
	return p.Print()
}

// outcome is what follows the ref_id on the line of an answer.
func (e *each) outcome(res response) string {
	text := ""
	switch {
	case e.format == refcache.Minimal:
		return ""
	case res.HasValue:
		var value strings.Builder
		for word := range strings.Lines(string(term.PrintableJSON(res.Value))) {
			value.WriteString(strings.TrimSpace(word)) // only white space between values breaks lines
		}
		text = value.String()
	case res.Error != "":
		text = firstLine(res.Error)
	default:
		return ""
	}
	if width := e.stdout.Width(); width > 0 {
		text = term.Cut(text, max(1, width-len(fmt.Sprintf("%-10s  %s  ", res.Status, res.RefID))))
	}
	return "  " + text
}

// conclude says what is amiss, and exits by the worst answer.
func (e *each) conclude(ctx context.Context, unwritten error) error {
	read := e.lines.count()
	unread := e.lines.err()
	switch {
	case unwritten != nil:
		e.complain(unwritten)
		e.notice("%s", e.stopped(read))
	case ctx.Err() != nil:
		e.notice("interrupted: %s", e.stopped(read))
	case e.done.without() > 0:
		e.notice("%s", e.done.sentence())
	}
	if unread != nil {
		e.complain(fmt.Errorf("read line %d: %w", read+1, unread))
	}
	if unwritten != nil || ctx.Err() != nil || unread != nil || e.done.errors > 0 {
		return exitStatus(exitOther)
	}
	return e.done.exit()
}

// stopped says how far it came.
func (e *each) stopped(read int) string {
	return "answered " + term.Number(e.done.answers()) + " of the " + term.Plural(read, "line", "lines") +
		" read; the calls that were made go on, and the same input again runs none of them twice"
}

// eachCount counts the answers.
type eachCount struct {
	complete, failed, cancelled, inFlight int
	errors                                int
}

func (t *eachCount) add(s refcache.Status) {
	switch s {
	case refcache.Complete:
		t.complete++
	case refcache.Failed:
		t.failed++
	case refcache.Cancelled:
		t.cancelled++
	default:
		t.inFlight++
	}
}

// addRefresh counts a refresh that ended without a new result.
func (t *eachCount) addRefresh(ended *refcache.TaskError) {
	if ended.Info.StaleReason == refcache.StaleCancelled {
		t.add(refcache.Cancelled)
	} else {
		t.add(refcache.Failed)
	}
}

func (t *eachCount) without() int { return t.failed + t.cancelled + t.inFlight + t.errors }
func (t *eachCount) answers() int { return t.complete + t.without() }

func (t *eachCount) sentence() string {
	var parts []string
	for _, kind := range []struct {
		n    int
		word string
	}{{t.failed, "failed"}, {t.cancelled, "cancelled"}, {t.inFlight, "in flight"}, {t.errors, "in error"}} {
		if kind.n > 0 {
			parts = append(parts, term.Number(kind.n)+" "+kind.word)
		}
	}
	return term.Number(t.without()) + " of " + term.Plural(t.answers(), "line", "lines") + " without a result: " + strings.Join(parts, ", ")
}

// exit is that of the worst status.
func (t *eachCount) exit() error {
	switch {
	case t.cancelled > 0:
		return exitStatus(exitCancelled)
	case t.failed > 0:
		return exitStatus(exitFailed)
	case t.inFlight > 0:
		return exitStatus(exitInFlight)
	}
	return nil
}
