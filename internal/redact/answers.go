package redact

import (
	"encoding/json"
	"slices"

	"github.com/refq/refq/refcache"
)

// Response hides what the rules say in a response: its value, error and messages.
func (r *Rules) Response(res refcache.Response[json.RawMessage]) refcache.Response[json.RawMessage] {
	if r == nil {
		return res
	}
	res.Value = r.JSON(res.Value)
	res.Progress = r.progress(res.Progress)
	res.Paused = r.pause(res.Paused)
	res.Message, res.Error, res.ErrorDetails = r.Text(res.Message), r.Text(res.Error), r.JSON(res.ErrorDetails)
	return res
}

// TaskInfo hides what the rules say in the errors and messages of a task. The info that was given stays as it is.
func (r *Rules) TaskInfo(info refcache.TaskInfo) refcache.TaskInfo {
	if r == nil {
		return info
	}
	info.Progress = r.progress(info.Progress)
	info.Paused = r.pause(info.Paused)
	for _, text := range []*string{&info.Note, &info.Error, &info.LastError, &info.Unreadable} {
		*text = r.Text(*text)
	}
	info.ErrorDetails = r.JSON(info.ErrorDetails)
	history := make([]refcache.Attempt, len(info.RetryHistory))
	for i, attempt := range info.RetryHistory {
		attempt.Error, attempt.Details = r.Text(attempt.Error), r.JSON(attempt.Details)
		history[i] = attempt
	}
	info.RetryHistory = history
	info.Events = slices.Clone(info.Events)
	for i := range info.Events {
		info.Events[i].Note = r.Text(info.Events[i].Note)
	}
	info.Turn = r.turn(info.Turn)
	return info
}

// turn hides key and share as a whole where a rule means a part of them.
func (r *Rules) turn(t *refcache.TurnInfo) *refcache.TurnInfo {
	if t == nil {
		return nil
	}
	hidden := *t
	for _, word := range []*string{&hidden.Key, &hidden.Share} {
		if r.Text(*word) != *word {
			*word = Mask
		}
	}
	return &hidden
}

func (r *Rules) progress(p *refcache.Progress) *refcache.Progress {
	if p == nil {
		return nil
	}
	hidden := *p
	hidden.Message = r.Text(p.Message)
	return &hidden
}

// Pause hides what the rules say in the reason of a pause.
func (r *Rules) Pause(p refcache.Pause) refcache.Pause {
	if r != nil {
		p.Reason = r.Text(p.Reason)
	}
	return p
}

func (r *Rules) pause(p *refcache.Pause) *refcache.Pause {
	if p == nil {
		return nil
	}
	return new(r.Pause(*p))
}
