package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/refq/refq"
	"github.com/refq/refq/internal/bench"
	"github.com/refq/refq/internal/term"
)

// benchHeads say what a figure is, above its column.
var benchHeads = map[bench.Measure]string{
	bench.Commands: "cmds", bench.InScripts: "lua", bench.RoundTrips: "trips", bench.Bytes: "bytes", bench.Allocs: "allocs",
	bench.Early: "early", bench.Subscriptions: "subs", bench.HeapPerWaiter: "heap B", bench.StackPerWaiter: "stack B",
	bench.RedisBytes: "held B", bench.Connections: "conns", bench.CommandsASecond: "cmds/s", bench.BytesASecond: "bytes/s", bench.RedisCPU: "redis",
	bench.RedisCPUASecond: "redis/s", bench.ClientCPU: "go", bench.Rate: "calls/s", bench.Nanoseconds: "ns",
	bench.P50: "p50 ms", bench.P95: "p95", bench.P99: "p99",
}

const benchLegend = `Per call: cmds sent by clients, lua: commands called by scripts, round trips, bytes both ways, Go
allocations, microseconds of CPU of Redis and of this process (go: callers and workers together).
A busy machine spoils rates and latencies most, CPU times less, what is counted not at all.
Figures are medians of the rounds, ratios are those of neighbouring rounds.`

// printBench prints what a scenario showed, in the columns that it has.
func (a *app) printBench(t bench.Table, o bench.Options, first bool) error {
	p := term.Page{Screen: a.stdout}
	if first {
		p.Line("%s\n", a.benchPlace(t, o))
	}
	p.Line("%s", p.Paint(term.Bold, t.About))
	columns := benchColumns(t)
	rows := term.Table{}
	head := []string{"CASE", "SIDE"}
	for _, m := range columns {
		head = append(head, benchHeads[m])
	}
	rows.Header(head...)
	for i, row := range t.Rows {
		rows.Add(nil, benchCells(row.Case, row.Side, columns, row.Figures, func(s bench.Spread) string {
			return figure(s.Median)
		})...)
		if row.Against == "" && i > 0 {
			addRatios(&rows, t.Rows[i-1], columns)
		}
	}
	rows.AlignRight(2)
	if !slices.ContainsFunc(t.Rows, func(r bench.Row) bool { return r.Case != "" }) {
		rows.DropFirst()
	}
	rows.AddTo(&p)
	p.Line("")
	return p.Print()
}

// addRatios shows, below both, what a side is to the other.
func addRatios(rows *term.Table, row bench.Row, columns []bench.Measure) {
	if row.Against == "" {
		return
	}
	var loud, quiet []string
	for range len(columns) + 2 {
		loud, quiet = append(loud, term.Bold), append(quiet, term.Faint)
	}
	for _, line := range []struct {
		name    string
		colours []string
		of      func(bench.Spread) float64
	}{
		{"ratio", loud, func(s bench.Spread) float64 { return s.Median }},
		{"min", quiet, func(s bench.Spread) float64 { return s.Min }},
		{"max", quiet, func(s bench.Spread) float64 { return s.Max }},
	} {
		rows.Add(line.colours, benchCells("", line.name, columns, row.Ratios, func(s bench.Spread) string {
			return figure(line.of(s)) + "x"
		})...)
	}
}

// benchPlace says what was measured, where.
func (a *app) benchPlace(t bench.Table, o bench.Options) string {
	v := thisVersion()
	redis := strings.TrimSpace("Redis " + t.Rows[0].Redis)
	place := fmt.Sprintf("refq %s, %s at %s, %d CPUs for callers and workers\n", v.Version, redis,
		refq.RedactURL(a.cfg.Redis), runtime.GOMAXPROCS(0))
	place += fmt.Sprintf("%s of %d calls, %d B each way, %d functions at once", term.Plural(o.Rounds, "round", "rounds"), o.Calls,
		o.Payload, o.Concurrency)
	if o.Delay > 0 {
		place += fmt.Sprintf(", Redis %v away", o.Delay)
	}
	return place
}

// benchColumns are the figures that any of the rows has.
func benchColumns(t bench.Table) []bench.Measure {
	return slices.DeleteFunc(slices.Clone(bench.Measures), func(m bench.Measure) bool {
		return !slices.ContainsFunc(t.Rows, func(r bench.Row) bool {
			_, ok := r.Figures[m]
			return ok
		})
	})
}

func benchCells(name, side string, columns []bench.Measure, figures map[bench.Measure]bench.Spread,
	text func(bench.Spread) string) []string {
	cells := []string{name, side}
	for _, m := range columns {
		cell := ""
		if s, ok := figures[m]; ok {
			cell = text(s)
		}
		cells = append(cells, cell)
	}
	return cells
}

// figure is a number in three digits or so.
func figure(n float64) string {
	switch size := max(n, -n); {
	case size == 0:
		return "0"
	case size < 10:
		return fmt.Sprintf("%.2f", n)
	case size < 100:
		return fmt.Sprintf("%.1f", n)
	case size < 10_000:
		return fmt.Sprintf("%.0f", n)
	case size < 1e6:
		return fmt.Sprintf("%.0fk", n/1000)
	}
	return fmt.Sprintf("%.1fM", n/1e6)
}

func (a *app) printLegend() error {
	p := term.Page{Screen: a.stdout}
	p.Line("%s", p.Paint(term.Faint, benchLegend))
	return p.Print()
}
