package ui

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/refcache"
)

// functionsData is what the page of all functions shows.
type functionsData struct {
	Declared   []functionSummary
	Undeclared []functionSummary // that workers or callers know
	Blind      bool              // it is not known what workers handle
	Source     string            // where functions are declared
}

// functionSummary is a function in a list.
type functionSummary struct {
	Policy  refcache.Policy // of an undeclared one only Name, Version and Queue
	Runs    string          // what runs it
	Retries string
	Workers int // living ones that handle it
	Hour    functionRow
}

// functions answers GET /functions.
func (u *UI) functions(w http.ResponseWriter, r *http.Request) error {
	f, health, missing, err := u.look(r)
	if err != nil {
		return err
	}
	data := functionsData{Blind: health.Blind != "", Source: cmp.Or(u.cfg.Path, "config.yaml"), Undeclared: u.undeclared(f, health)}
	for _, fn := range u.cfg.Functions {
		data.Declared = append(data.Declared, u.declared(fn, f, health))
	}
	return u.render(w, r, http.StatusOK, "functions.html", page{Missing: missing, Title: "Functions", Live: liveQueues, Data: data})
}

// look reads what is known of functions besides their declarations.
func (u *UI) look(r *http.Request) (f facts, health monitor.Health, missing []monitor.Missing, err error) {
	partial := together(
		func() (err error) { f, err = u.facts.get(r.Context()); return err },
		func() (err error) { health, err = u.health.get(r.Context()); return err })
	missing, err = partly(partial)
	return f, health, missing, err
}

func (u *UI) declared(fn config.Function, f facts, health monitor.Health) functionSummary {
	policy, _ := fn.Func.Policy() // it was checked when it was read
	s := functionSummary{Policy: policy, Runs: "Go workers", Retries: retriesText(policy)}
	if len(fn.Exec) > 0 {
		s.Runs = u.cfg.Redact.Text(strings.Join(fn.Exec, " "))
	}
	s.know(f, health)
	return s
}

// know adds what has happened.
func (s *functionSummary) know(f facts, health monitor.Health) {
	name := monitor.WaitingFunction{Func: s.Policy.Name, Version: s.Policy.Version}.String()
	for _, w := range health.Workers {
		if w.Alive && slices.Contains(w.Queues, s.Policy.Queue) && slices.Contains(w.Functions, name) {
			s.Workers++
		}
	}
	for _, row := range functionRows(f.stats) {
		if row.Func == s.Policy.Name && row.Queue == s.Policy.Queue {
			s.Hour = row
		}
	}
}

// undeclared are the functions that this server cannot call, since it does not know their policy.
func (u *UI) undeclared(f facts, health monitor.Health) []functionSummary {
	found := map[refcache.Policy]bool{}
	for _, w := range health.Workers {
		for _, name := range w.Functions {
			for _, queue := range w.Queues {
				if p, ok := parseFunction(name); ok && w.Alive {
					p.Queue = queue
					found[p] = true
				}
			}
		}
	}
	known := func(name, queue string) bool {
		for p := range found {
			if p.Name == name && p.Queue == queue {
				return true
			}
		}
		return false
	}
	for _, s := range f.stats.Functions {
		if !known(s.Func, s.Queue) {
			found[refcache.Policy{Name: s.Func, Version: 1, Queue: s.Queue}] = true
		}
	}
	var all []functionSummary
	for p := range found {
		if _, err := u.cfg.Function(p.Name); err != nil {
			s := functionSummary{Policy: p, Runs: "Go workers"}
			s.know(f, health)
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b functionSummary) int {
		return cmp.Or(cmp.Compare(a.Policy.Name, b.Policy.Name), cmp.Compare(a.Policy.Queue, b.Policy.Queue), cmp.Compare(a.Policy.Version, b.Policy.Version))
	})
	return all
}

// parseFunction reads name@version, as workers tell it.
func parseFunction(text string) (p refcache.Policy, ok bool) {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return p, false
	}
	p.Name = text[:at]
	_, err := fmt.Sscanf(text[at+1:], "%d", &p.Version)
	return p, err == nil
}

// retriesText is "3: 1 s, 2 s, 4 s", without jitter.
func retriesText(p refcache.Policy) string {
	const most = 3
	switch {
	case p.MaxRetries == 0:
		return "none"
	case p.Backoff != "":
		return fmt.Sprintf("%s: by %s", count(int64(p.MaxRetries)), p.Backoff)
	}
	var delays []string
	for n := range min(p.MaxRetries, most) {
		delays = append(delays, duration(p.Delay(n, 0)))
	}
	text := fmt.Sprintf("%s: %s", count(int64(p.MaxRetries)), strings.Join(delays, ", "))
	if p.MaxRetries > most {
		text += " … " + duration(p.Delay(p.MaxRetries-1, 0))
	}
	return text
}

// limit is a duration where 0 means that there is none.
func limit(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	return duration(d)
}
