package ui

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// pausePart is what a page shows of the pauses of a queue, a function, a gate or a key, with what changes them.
type pausePart struct {
	ID        string // of its elements
	Target    admin.Target
	Pauses    []pauseRow
	MayPause  bool // it is not paused as a whole, and the viewer may change that
	MayResume bool
}

// pauseRow is a pause, in words that show nothing they should not; without words if the page has told of it.
type pauseRow struct {
	Target admin.Target
	Text   string
}

// pausePart shows what is paused of a queue, or of a function and its versions.
func (u *UI) pausePart(r *http.Request, t admin.Target, all []refcache.Pause) pausePart {
	part := pausePart{ID: "pause-" + t.Queue + t.Func, Target: t, MayResume: u.mayChange(r), MayPause: u.mayChange(r)}
	for _, p := range all {
		name, _, _ := strings.Cut(p.Func, "@")
		if p.Gate != "" || p.Queue != t.Queue || name != t.Func {
			continue
		}
		part.Pauses = append(part.Pauses, pauseRow{admin.Target{Queue: p.Queue, Func: p.Func}, u.cfg.Redact.Pause(p).String()})
		if p.Func == t.Func {
			part.MayPause = false
		}
	}
	return part
}

// gatePause has what pauses or resumes a gate, or a key of it. The page tells of the pause itself.
func (u *UI) gatePause(r *http.Request, id string, t admin.Target, paused bool) pausePart {
	if !u.mayChange(r) {
		return pausePart{}
	}
	if paused {
		return pausePart{MayResume: true, Pauses: []pauseRow{{Target: t}}}
	}
	return pausePart{ID: id, Target: t, MayPause: true}
}

// queueRow is a queue on the overview.
type queueRow struct {
	monitor.QueueSize
	Pause pausePart
}

func (u *UI) queueRows(r *http.Request, f facts) []queueRow {
	rows := make([]queueRow, len(f.sizes))
	for i, size := range f.sizes {
		rows[i] = queueRow{size, u.pausePart(r, admin.Target{Queue: size.Queue}, f.pauses)}
	}
	return rows
}

// pause answers POST /pause.
func (u *UI) pause(w http.ResponseWriter, r *http.Request) error {
	return u.changePause(w, r, func(t admin.Target) (string, error) {
		terms := admin.PauseTerms{Reason: strings.TrimSpace(r.PostForm.Get("reason"))}
		if limit := strings.TrimSpace(r.PostForm.Get("for")); limit != "" {
			var err error
			if terms.For, err = config.ParseDuration(limit); err != nil {
				return "", &refusal{http.StatusUnprocessableEntity, "Not a duration", fmt.Errorf("for: %w", err)}
			}
		}
		if err := terms.Check(); err != nil {
			return "", &refusal{http.StatusUnprocessableEntity, "Not a pause", err}
		}
		_, err := u.actions.Pause(r.Context(), t, terms)
		return "paused", err
	})
}

// resume answers POST /resume.
func (u *UI) resume(w http.ResponseWriter, r *http.Request) error {
	return u.changePause(w, r, func(t admin.Target) (string, error) {
		was, err := u.actions.Resume(r.Context(), t)
		if !was {
			return "not-paused", err
		}
		return "resumed", err
	})
}

// changePause changes what the form names, and leads back to where that is shown.
func (u *UI) changePause(w http.ResponseWriter, r *http.Request, do func(admin.Target) (said string, err error)) error {
	if err := u.checkOperator(r); err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return unreadableForm(err)
	}
	t := admin.Target{Queue: r.PostForm.Get("queue"), Func: r.PostForm.Get("func"), Gate: r.PostForm.Get("gate")}
	if r.PostForm.Has("key") {
		t.Key = new(r.PostForm.Get("key"))
	}
	if err := t.Check(); err != nil {
		return &refusal{http.StatusUnprocessableEntity, "Nothing to pause or resume", err}
	}
	done, err := do(t)
	if errors.Is(err, admin.ErrUnknownQueue) {
		return &refusal{http.StatusNotFound, "Unknown queue", err}
	}
	if err != nil {
		return err
	}
	u.facts.forget(r.Context())
	u.health.forget(r.Context())
	to := "/"
	if name, _, _ := strings.Cut(t.Func, "@"); name != "" {
		to = functionPath(name)
	}
	if t.Gate != "" {
		to = gatePath(t.Queue, t.Gate)
	}
	http.Redirect(w, r, to+"?"+url.Values{"said": {done}}.Encode(), http.StatusSeeOther)
	return nil
}
