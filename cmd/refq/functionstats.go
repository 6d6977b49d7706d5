package main

import (
	"cmp"
	"context"
	"time"

	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/monitor"
)

// functionStatsJSON is how the calls of a function were answered in the last hour.
type functionStatsJSON struct {
	Func            string  `json:"func"`
	Queue           string  `json:"queue"`
	Calls           int64   `json:"calls"`
	Hits            int64   `json:"hit"`
	Stale           int64   `json:"stale"`
	Joined          int64   `json:"joined"`
	Misses          int64   `json:"miss"`
	Refreshes       int64   `json:"refresh"`
	RefreshesFailed int64   `json:"refresh_failed"`
	Saved           float64 `json:"run_seconds_saved"`
}

func (a *app) functionStats(ctx context.Context) error {
	operator, end, err := a.newAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	stats, err := operator.Stats(ctx)
	if failed(err) {
		return err
	}
	if a.asJSON {
		for _, f := range stats.Functions {
			if err := a.printObject(functionStatsJSON{f.Func, f.Queue, f.Made(), f.Hits, f.Stale, f.Joined, f.Misses, f.Refreshes,
				f.RefreshesFailed, f.Saved.Seconds()}); err != nil {
				return err
			}
		}
		return err
	}
	return cmp.Or(a.printFunctionStats(stats.Functions), err)
}

func (a *app) printFunctionStats(functions []monitor.FunctionStats) error {
	if len(functions) == 0 {
		a.notice("no call was made in the last hour")
		return nil
	}
	rows := term.Table{}
	rows.Header("FUNCTION", "QUEUE", "CALLS", "HIT", "STALE", "JOINED", "MISS", "REFRESHED", "IN VAIN", "SAVED")
	for _, f := range functions {
		rows.Add([]string{term.Bold}, term.Printable(f.Func), term.Printable(f.Queue), count(f.Made()), count(f.Hits), count(f.Stale),
			count(f.Joined), count(f.Misses), count(f.Refreshes), count(f.RefreshesFailed), savedText(f.Saved))
	}
	p := term.Page{Screen: a.stdout}
	rows.AddTo(&p)
	return p.Print()
}

func savedText(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	return term.Short(d)
}

func count(n int64) string { return term.Number(int(n)) }
