package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/refq/refq/refcache"
)

// progressEntry is a progress report as the record holds it.
type progressEntry struct {
	Current int64  `json:"c,omitempty"`
	Total   int64  `json:"t,omitempty"`
	Message string `json:"m,omitempty"`
}

func (e progressEntry) progress() *refcache.Progress {
	p := refcache.Progress{Current: e.Current, Total: e.Total, Message: e.Message}
	if e.Total > 0 {
		p.Percentage = new(min(100, max(0, 100*float64(e.Current)/float64(e.Total))))
	}
	return &p
}

// attemptEntry is an attempt as the scripts write it. What was empty is absent.
type attemptEntry struct {
	Cycle     int            `json:"cycle"`
	Attempt   int            `json:"attempt"`
	Error     string         `json:"error"`
	Cause     refcache.Cause `json:"cause"`
	Timestamp int64          `json:"timestamp"`
	StartedAt int64          `json:"started_at"`
	Delay     int64          `json:"delay"`
	Worker    string         `json:"worker"`
	Permanent bool           `json:"permanent"`
	Code      string         `json:"code"`
	Details   string         `json:"details"` // JSON in a text: what Lua decodes and encodes is not what it was
}

type eventEntry struct {
	At   int64              `json:"at"`
	Kind refcache.EventKind `json:"kind"`
	By   string             `json:"by"`

	Times int    `json:"times"`
	Since int64  `json:"since"`
	Note  string `json:"note"`
}

func parseAttempt(text string) (refcache.Attempt, error) {
	var e attemptEntry
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return refcache.Attempt{}, fmt.Errorf("attempt: %w", err)
	}
	details := json.RawMessage(e.Details)
	if !json.Valid(details) {
		details = nil
	}
	started, ended := time.UnixMilli(e.StartedAt), time.UnixMilli(e.Timestamp)
	return refcache.Attempt{
		Cycle: e.Cycle, Attempt: e.Attempt, Error: e.Error, Cause: e.Cause, Worker: e.Worker, Permanent: e.Permanent,
		Code: e.Code, Details: details,
		Timestamp: ended, StartedAt: started, Duration: max(0, ended.Sub(started)),
		Delay: time.Duration(max(0, min(e.Delay, refcache.MaxDelay.Milliseconds()))) * time.Millisecond,
	}, nil
}

func parseEvent(text string) (refcache.Event, error) {
	var e eventEntry
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return refcache.Event{}, fmt.Errorf("event: %w", err)
	}
	event := refcache.Event{At: time.UnixMilli(e.At), Kind: e.Kind, By: e.By, Times: e.Times, Note: e.Note}
	if e.Since != 0 {
		event.Since = new(time.UnixMilli(e.Since))
	}
	return event, nil
}

// parseEntries reads one of the two histories; entries that are missing are passed over.
func parseEntries[T any](reply any, parse func(string) (T, error)) ([]T, error) {
	values, _ := reply.([]any)
	entries := make([]T, 0, len(values))
	for _, v := range values {
		text, ok := v.(string)
		if !ok {
			continue
		}
		entry, err := parse(text)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}
