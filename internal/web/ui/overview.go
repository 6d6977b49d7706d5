package ui

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

const (
	keepFacts  = time.Second     // shows what happens as it happens
	keepHealth = 5 * time.Second // costs more
)

// facts are what the overview shows of Redis.
type facts struct {
	sizes  []monitor.QueueSize
	stats  monitor.Stats
	pauses []refcache.Pause
}

func (u *UI) readFacts(ctx context.Context) (f facts, err error) {
	err = together(
		func() (err error) { f.sizes, err = u.admin.Sizes(ctx); return err },
		func() (err error) { f.stats, err = u.admin.Stats(ctx); return err },
		func() (err error) { f.pauses, err = u.admin.Pauses(ctx); return err })
	return f, err
}

// together reads several things at the same time: a node that does not answer is waited for once. The error is the first of all that
// is no *monitor.PartialError, else the last of these: they are about the same nodes.
func together(reads ...func() error) (partial error) {
	errs := make([]error, len(reads))
	var all sync.WaitGroup
	for i, read := range reads {
		all.Go(func() { errs[i] = read() })
	}
	all.Wait()
	for _, err := range errs {
		if missing, failed := partly(err); failed != nil {
			return failed
		} else if missing != nil {
			partial = err
		}
	}
	return partial
}

// overview answers GET /.
func (u *UI) overview(w http.ResponseWriter, r *http.Request) error {
	f, health, missing, err := u.look(r)
	if err != nil {
		return err
	}
	return u.render(w, r, http.StatusOK, "overview.html", page{Missing: missing, Title: "Overview", Live: liveQueues, Notice: said(r, refcache.TaskInfo{}),
		Data: u.newOverview(r, f, health)})
}

type overviewData struct {
	Findings  []monitor.Finding // what is not as it should be, the worst first
	Tiles     []tile
	Charts    []chart
	Functions []functionRow // those with failures first
	Queues    []queueRow
	Workers   []monitor.WorkerHealth // dead ones first
	Blind     bool                   // it is not known which workers there are
	Unused    bool                   // nothing was ever called
	Try       string                 // a function that can be called; empty: none is declared
}

// tile is a figure on top of the page.
type tile struct {
	Status refcache.Status
	Count  int64
	Note   string
	Path   string
}

func (u *UI) newOverview(r *http.Request, f facts, health monitor.Health) overviewData {
	o := overviewData{Findings: u.findings(health), Tiles: tiles(f), Charts: charts(f.stats.Minutes), Functions: functionRows(f.stats),
		Queues: u.queueRows(r, f), Workers: slices.Clone(health.Workers), Blind: health.Blind != "", Unused: unused(f)}
	slices.SortStableFunc(o.Workers, func(a, b monitor.WorkerHealth) int {
		switch {
		case a.Alive != b.Alive && b.Alive:
			return -1
		case a.Alive != b.Alive:
			return 1
		}
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.PID, b.PID))
	})
	if len(u.cfg.Functions) > 0 {
		o.Try = u.cfg.Functions[0].Func.Name
	}
	return o
}

// findings are those that somebody should know of, in words that show nothing they should not.
func (u *UI) findings(health monitor.Health) []monitor.Finding {
	var wrong, warnings []monitor.Finding
	for _, f := range health.Findings() {
		f.Fact, f.Remedy = u.cfg.Redact.Text(f.Fact), u.cfg.Redact.Text(f.Remedy)
		switch f.Level {
		case monitor.LevelWrong:
			wrong = append(wrong, f)
		case monitor.LevelWarning:
			warnings = append(warnings, f)
		}
	}
	return append(wrong, warnings...)
}

func tiles(f facts) []tile {
	var sum monitor.QueueSize
	for _, s := range f.sizes {
		sum.Failed += s.Failed
		sum.Retrying += s.Retrying
		sum.Waiting += s.Waiting
		sum.Pending += s.Pending
		sum.Processing += s.Processing
		sum.Cancelled += s.Cancelled
		sum.OldestPending = max(sum.OldestPending, s.OldestPending)
	}
	var hour monitor.CallCounts
	for _, m := range f.stats.Minutes {
		hour.Add(m.CallCounts)
	}
	oldest := ""
	if sum.OldestPending > 0 {
		oldest = "oldest " + duration(sum.OldestPending)
	}
	lately := ""
	if hour.Failed > 0 {
		lately = count(hour.Failed) + " in the last hour"
	}
	all := []tile{
		{Status: refcache.Failed, Count: sum.Failed, Note: lately},
		{Status: refcache.Retrying, Count: sum.Retrying},
		{Status: refcache.Waiting, Count: sum.Waiting},
		{Status: refcache.Pending, Count: sum.Pending, Note: oldest},
		{Status: refcache.Processing, Count: sum.Processing},
		{Status: refcache.Complete, Count: hour.Complete, Note: "in the last hour"},
		{Status: refcache.Cancelled, Count: sum.Cancelled},
	}
	for i, t := range all {
		all[i].Path = callsPath("status", string(t.Status))
	}
	return all
}

// functionRow is what happened to the calls of a function in the last hour.
type functionRow struct {
	monitor.FunctionStats
	Success, Hits string // shares; empty: nothing to take a share of
	P50, P95      string // empty: nothing ran
	Path          string // to its failed calls
}

func functionRows(stats monitor.Stats) []functionRow {
	rows := make([]functionRow, len(stats.Functions))
	for i, f := range stats.Functions {
		rows[i] = functionRow{FunctionStats: f, Success: share(f.SuccessRate()), Hits: share(f.HitRatio()),
			P50: quantile(f.Durations, .5), P95: quantile(f.Durations, .95),
			Path: callsPath("status", string(refcache.Failed), "func", f.Func, "queue", f.Queue)}
	}
	slices.SortStableFunc(rows, func(a, b functionRow) int {
		return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(b.Made(), a.Made()))
	})
	return rows
}

func share(ratio float64, known bool) string {
	if !known {
		return ""
	}
	return percent(ratio)
}

// quantile is an estimate, and is written as one.
func quantile(h monitor.Histogram, q float64) string {
	d, known := h.Quantile(q)
	if !known {
		return ""
	}
	return duration(d)
}

func unused(f facts) bool {
	for _, s := range f.sizes {
		if s.Waiting+s.Pending+s.Processing+s.Retrying+s.Failed+s.Cancelled > 0 {
			return false
		}
	}
	return len(f.stats.Functions) == 0
}
