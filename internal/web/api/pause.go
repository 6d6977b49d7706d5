package api

import (
	"fmt"
	"net/http"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/refcache"
)

// pauseRequest is what a client pauses or resumes: a queue, a func, or a gate and perhaps its key. To resume it says no more.
type pauseRequest struct {
	Queue  string  `json:"queue"`
	Func   string  `json:"func"`
	Gate   string  `json:"gate"` // queue may say where
	Key    *string `json:"key"`
	For    setting `json:"for"` // absent: until it is resumed
	Reason string  `json:"reason"`
}

// resumed is the answer to a request to resume.
type resumed struct {
	Queue   *string `json:"queue"`
	Func    *string `json:"func"`
	Gate    *string `json:"gate"`
	Key     *string `json:"key"`
	Resumed bool    `json:"resumed"` // false: it was not paused
}

// pause answers POST /pause.
func (a *API) pause(w http.ResponseWriter, r *http.Request) error {
	p, target, err := a.pauseRequest(w, r)
	if err != nil {
		return err
	}
	terms := admin.PauseTerms{Reason: p.Reason}
	if p.For != "" {
		if terms.For, err = config.ParseDuration(string(p.For)); err != nil {
			return badRequest(fmt.Errorf("for: %w", err))
		}
	}
	if err := terms.Check(); err != nil {
		return badRequest(err)
	}
	noted, err := a.actions.Pause(r.Context(), target, terms)
	if err != nil {
		return err
	}
	return writeJSON(w, a.cfg.Redact.Pause(noted))
}

// resume answers POST /resume.
func (a *API) resume(w http.ResponseWriter, r *http.Request) error {
	p, target, err := a.pauseRequest(w, r)
	if err != nil {
		return err
	}
	if p.For != "" || p.Reason != "" {
		return badRequest(fmt.Errorf("what is resumed is named by queue, func or gate and key alone"))
	}
	was, err := a.actions.Resume(r.Context(), target)
	if err != nil {
		return err
	}
	answer := resumed{Resumed: was, Key: target.Key}
	for _, of := range []struct {
		name string
		to   **string
	}{{target.Queue, &answer.Queue}, {target.Func, &answer.Func}, {target.Gate, &answer.Gate}} {
		if of.name != "" {
			*of.to = &of.name
		}
	}
	return writeJSON(w, answer)
}

// pauseRequest reads what is to be paused or resumed.
func (a *API) pauseRequest(w http.ResponseWriter, r *http.Request) (p pauseRequest, t admin.Target, err error) {
	if _, err := query(r); err != nil {
		return p, t, err
	}
	text, err := a.body(w, r)
	if err != nil {
		return p, t, err
	}
	if err := decode(text, &p); err != nil {
		return p, t, badRequest(fmt.Errorf("the request is not as it should be, {\"queue\":…}, {\"func\":…} or {\"gate\":…}, to pause with for and reason: %w", err))
	}
	t = admin.Target{Queue: p.Queue, Func: p.Func, Gate: p.Gate, Key: p.Key}
	if err := t.Check(); err != nil {
		return p, t, badRequest(err)
	}
	return p, t, nil
}

// pauses answers GET /pauses.
func (a *API) pauses(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	all, err := a.admin.Pauses(r.Context())
	answer := struct {
		Pauses  []refcache.Pause `json:"pauses"`
		Missing missing          `json:"missing,omitempty"`
	}{Pauses: []refcache.Pause{}}
	if answer.Missing, err = a.missing(err); err != nil {
		return err
	}
	for _, p := range all {
		answer.Pauses = append(answer.Pauses, a.cfg.Redact.Pause(p))
	}
	return writeJSON(w, answer)
}

func writeJSON(w http.ResponseWriter, v any) error {
	text, err := encode(v)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, "application/json", text)
	return nil
}
