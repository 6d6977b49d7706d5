package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// gatesData is what the page of all gates shows.
type gatesData struct {
	Gates []monitor.GateState
}

// gateData is what the page of a gate shows.
type gateData struct {
	Gate  monitor.GateState
	Pause pausePart
	Keys  []keyRow
	First string // the path to the first page of keys; empty: it is this one
	Next  string // to the next one; empty: there is none
	Form  gateForm
}

// keyRow is a key of a gate. One that is not shown as it is cannot be paused here.
type keyRow struct {
	monitor.GateKey
	Pause pausePart
}

// gateForm is a setting of a gate as somebody types it: an empty field is as declared.
type gateForm struct {
	Each, All, Rate, Burst, MostWaiting, For string

	Wrong string // what is wrong with it; empty: nothing is
}

// Lasts are how long a setting may last, to choose from.
func (gateForm) Lasts() []string { return []string{"15m", "1h", "8h", "24h"} }

func (u *UI) readGates(ctx context.Context) ([]monitor.GateState, error) { return u.admin.Gates(ctx) }

// gatesPage answers GET /gates.
func (u *UI) gatesPage(w http.ResponseWriter, r *http.Request) error {
	gates, err := u.gates.get(r.Context())
	missing, err := partly(err)
	if err != nil {
		return err
	}
	var data gatesData
	for _, g := range gates {
		data.Gates = append(data.Gates, u.cfg.Redact.Gate(g))
	}
	return u.render(w, r, http.StatusOK, "gates.html", page{Missing: missing, Title: "Gates", Live: liveGates, Data: data})
}

// gate answers GET /gates/{queue}/{gate}. The parameter cursor is where the keys go on.
func (u *UI) gate(w http.ResponseWriter, r *http.Request) error {
	return u.gatePage(w, r, http.StatusOK, nil)
}

// gatePage shows a gate. The form is filled with what is set if it is nil.
func (u *UI) gatePage(w http.ResponseWriter, r *http.Request, status int, form *gateForm) error {
	const keys = 100
	queue, gate, err := pathGate(r)
	if err != nil {
		return err
	}
	cursor := r.URL.Query().Get("cursor")
	found, err := u.admin.Gate(r.Context(), queue, gate, admin.Cursor(cursor), keys)
	if err != nil {
		return err
	}
	data := gateData{Gate: u.cfg.Redact.Gate(found.Gate), Form: formOf(found.Gate.Set),
		Pause: u.gatePause(r, "pause", admin.Target{Queue: queue, Gate: gate}, found.Gate.Paused != nil)}
	for i, k := range found.Keys {
		row := keyRow{GateKey: u.cfg.Redact.GateKey(k)}
		if row.Key == k.Key {
			row.Pause = u.gatePause(r, fmt.Sprintf("pause-%d", i), admin.Target{Queue: queue, Gate: gate, Key: &k.Key}, k.Paused != nil)
		}
		data.Keys = append(data.Keys, row)
	}
	if form != nil {
		data.Form = *form
	}
	if cursor != "" {
		data.First = gatePath(queue, gate)
	}
	if found.Next != "" {
		data.Next = gatePath(queue, gate) + "?" + url.Values{"cursor": {string(found.Next)}}.Encode()
	}
	notice := map[string]string{"set": "The limits were set.", "reset": "The limits are as declared again."}[r.URL.Query().Get("said")]
	notice = cmp.Or(notice, said(r, refcache.TaskInfo{}))
	return u.render(w, r, status, "gate.html", page{Title: gate, Live: liveGates, Notice: notice, Data: data})
}

// setGate answers POST /gates/{queue}/{gate}/set.
func (u *UI) setGate(w http.ResponseWriter, r *http.Request) error {
	if err := u.checkOperator(r); err != nil {
		return err
	}
	queue, gate, err := pathGate(r)
	if err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return unreadableForm(err)
	}
	f := r.PostForm
	form := gateForm{Each: f.Get("each"), All: f.Get("all"), Rate: f.Get("rate"), Burst: f.Get("burst"),
		MostWaiting: f.Get("most_waiting"), For: f.Get("for")}
	set, lasts, err := form.parse()
	if err == nil {
		err = u.actions.SetGate(r.Context(), queue, gate, set, lasts)
		if err != nil && !errors.Is(err, admin.ErrInvalidSetting) {
			return err
		}
	}
	if err != nil {
		form.Wrong = u.cfg.Redact.Text(err.Error())
		return u.gatePage(w, r, http.StatusUnprocessableEntity, &form)
	}
	http.Redirect(w, r, gatePath(queue, gate)+"?said=set", http.StatusSeeOther)
	return nil
}

// resetGate answers POST /gates/{queue}/{gate}/reset.
func (u *UI) resetGate(w http.ResponseWriter, r *http.Request) error {
	if err := u.checkOperator(r); err != nil {
		return err
	}
	queue, gate, err := pathGate(r)
	if err != nil {
		return err
	}
	if err := u.actions.ResetGate(r.Context(), queue, gate); err != nil {
		return err
	}
	http.Redirect(w, r, gatePath(queue, gate)+"?said=reset", http.StatusSeeOther)
	return nil
}

// pathGate is the gate in the path of a request, with its queue.
func pathGate(r *http.Request) (queue, gate string, err error) {
	queue = r.PathValue("queue")
	if err := refcache.CheckQueue(queue); err != nil {
		return "", "", &refusal{http.StatusNotFound, "No such queue", err}
	}
	return queue, r.PathValue("gate"), nil
}

// formOf is the form of what is set.
func formOf(set *monitor.GateSet) (f gateForm) {
	if set == nil {
		return f
	}
	whole := func(n *int) string {
		switch {
		case n == nil:
			return ""
		case *n == refcache.Slots:
			return "slots"
		}
		return strconv.Itoa(*n)
	}
	f = gateForm{Each: whole(set.Each), All: whole(set.All), MostWaiting: whole(set.MostWaiting)}
	if r := set.Rate; r != nil {
		f.Rate = r.String()
		if r.N > 0 {
			f.Burst = strconv.Itoa(r.Burst)
		}
	}
	return f
}

// parse reads what was typed. The error names the field.
func (f gateForm) parse() (set monitor.GateSetting, lasts time.Duration, err error) {
	whole := func(name, text string) *int {
		n, invalid := strconv.Atoi(text)
		if text == "" {
			return nil
		}
		if invalid != nil {
			err = cmp.Or(err, fmt.Errorf("%s is %.80q, must be a whole number, 0 (no limit) or more", name, text))
		}
		return &n
	}
	set = monitor.GateSetting{Each: whole("each", f.Each), MostWaiting: whole("most waiting", f.MostWaiting)}
	if f.All != "" {
		all, invalid := config.ParseAll(f.All)
		set.All = &all
		if invalid != nil {
			err = cmp.Or(err, fmt.Errorf("all: %w", invalid))
		}
	}
	if f.Rate != "" || f.Burst != "" {
		set.Rate = &refcache.Rate{}
	}
	if f.Rate != "" {
		rate, invalid := config.ParseRate(f.Rate)
		*set.Rate = rate
		if invalid != nil {
			err = cmp.Or(err, fmt.Errorf("rate: %w", invalid))
		}
	}
	if burst := whole("burst", f.Burst); burst != nil {
		set.Rate.Burst = *burst
	}
	if f.For != "" {
		var invalid error
		if lasts, invalid = config.ParseDuration(f.For); invalid != nil {
			err = cmp.Or(err, fmt.Errorf("for: %w", invalid))
		}
	}
	return set, lasts, err
}

// gatePath is the page of a gate.
func gatePath(queue, gate string) string {
	return "/gates/" + url.PathEscape(queue) + "/" + url.PathEscape(gate)
}

// nextOfKey is what the next call of a key waits for, where it is not a time.
func nextOfKey(g monitor.GateState, k monitor.GateKey) string {
	switch k.Reason {
	case refcache.WaitsUnavailable:
		return "closed, while one tries whether it is open again"
	case refcache.WaitsUndeclared:
		return "when a worker declares the gate"
	case refcache.WaitsPaused:
		return "when the gate is resumed"
	case "":
		return ""
	}
	if g.HasRoom(k) {
		return "now: there is room"
	}
	return "when another ends"
}
