package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// gateList is all gates, as clients get them.
type gateList struct {
	Gates   []monitor.GateState `json:"gates"`
	Missing missing             `json:"missing,omitempty"`
}

// gatePage is a gate with a part of its keys.
type gatePage struct {
	Gate monitor.GateState `json:"gate"`
	Keys []monitor.GateKey `json:"keys"`
	Next *admin.Cursor     `json:"next"` // null: there is no more
}

// gateSetting is what a client sets of a gate.
type gateSetting struct {
	Each        *int    `json:"each"`
	All         setting `json:"all"`
	Rate        setting `json:"rate"`
	Burst       *int    `json:"burst"`
	MostWaiting *int    `json:"most_waiting"`
	For         setting `json:"for"`
}

// gates answers GET /gates.
func (a *API) gates(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r, "queue")
	if err != nil {
		return err
	}
	var queues []string
	if queue := values.Get("queue"); queue != "" {
		if err := refcache.CheckQueue(queue); err != nil {
			return badRequest(err)
		}
		queues = []string{queue}
	}
	gates, err := a.admin.Gates(r.Context(), queues...)
	out := gateList{Gates: []monitor.GateState{}}
	if out.Missing, err = a.missing(err); err != nil {
		return err
	}
	for _, g := range gates {
		out.Gates = append(out.Gates, a.cfg.Redact.Gate(g))
	}
	return writeJSON(w, out)
}

// gate answers GET /gates/{queue}/{gate}.
func (a *API) gate(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := whole(values, "limit", usualPage, maxPage)
	if err != nil {
		return err
	}
	queue, gate, err := pathGate(r)
	if err != nil {
		return err
	}
	found, err := a.admin.Gate(r.Context(), queue, gate, admin.Cursor(values.Get("cursor")), limit)
	if err != nil {
		return err
	}
	out := gatePage{Gate: a.cfg.Redact.Gate(found.Gate), Keys: []monitor.GateKey{}}
	for _, k := range found.Keys {
		out.Keys = append(out.Keys, a.cfg.Redact.GateKey(k))
	}
	if found.Next != "" {
		out.Next = &found.Next
	}
	return writeJSON(w, out)
}

// setGate answers PUT /gates/{queue}/{gate}.
func (a *API) setGate(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	queue, gate, err := pathGate(r)
	if err != nil {
		return err
	}
	text, err := a.body(w, r)
	if err != nil {
		return err
	}
	var s gateSetting
	if err := decode(text, &s); err != nil {
		return badRequest(fmt.Errorf("the setting is not as it should be, such as {\"each\":10,\"rate\":\"50/s\",\"for\":\"1h\"}: %w", err))
	}
	set, lasts, err := s.parse()
	if err != nil {
		return badRequest(err)
	}
	if err := a.actions.SetGate(r.Context(), queue, gate, set, lasts); err != nil {
		return err
	}
	found, err := a.admin.Gate(r.Context(), queue, gate, "", 1)
	if err != nil {
		return err
	}
	return writeJSON(w, a.cfg.Redact.Gate(found.Gate))
}

// parse reads the numbers that are written as in config.yaml.
func (s gateSetting) parse() (set monitor.GateSetting, lasts time.Duration, err error) {
	set.Each, set.MostWaiting = s.Each, s.MostWaiting
	if s.All != "" {
		all, err := config.ParseAll(string(s.All))
		if err != nil {
			return set, 0, fmt.Errorf("all: %w", err)
		}
		set.All = &all
	}
	if s.Rate != "" || s.Burst != nil {
		set.Rate = &refcache.Rate{}
	}
	if s.Rate != "" {
		if *set.Rate, err = config.ParseRate(string(s.Rate)); err != nil {
			return set, 0, fmt.Errorf("rate: %w", err)
		}
	}
	if s.Burst != nil {
		set.Rate.Burst = *s.Burst
	}
	if s.For != "" {
		if lasts, err = config.ParseDuration(string(s.For)); err != nil {
			return set, 0, fmt.Errorf("for: %w", err)
		}
	}
	return set, lasts, nil
}

// resetGate answers DELETE /gates/{queue}/{gate}.
func (a *API) resetGate(w http.ResponseWriter, r *http.Request) error {
	if _, err := bodiless(r); err != nil {
		return err
	}
	queue, gate, err := pathGate(r)
	if err != nil {
		return err
	}
	if err := a.actions.ResetGate(r.Context(), queue, gate); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// pathGate is the gate in the path of a request, with its queue.
func pathGate(r *http.Request) (queue, gate string, err error) {
	queue = r.PathValue("queue")
	if err := refcache.CheckQueue(queue); err != nil {
		return "", "", badRequest(err)
	}
	return queue, r.PathValue("gate"), nil
}
