package refcache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

type minimalJSON struct {
	RefID      Ref    `json:"ref_id"`
	Status     Status `json:"status"`
	IsComplete bool   `json:"is_complete"`
	IsAsync    bool   `json:"is_async"`
	CanRetry   bool   `json:"can_retry"`
	IsStale    bool   `json:"is_stale"`
}

type standardJSON struct {
	minimalJSON
	Value        any             `json:"value"`
	AgeSeconds   *float64        `json:"age_seconds"`
	StaleReason  *StaleReason    `json:"stale_reason"`
	Refreshing   bool            `json:"refreshing"`
	Cache        *CacheUse       `json:"cache"`
	StartedAt    *jsonTime       `json:"started_at"`
	Progress     *progressJSON   `json:"progress"`
	Message      *string         `json:"message"`
	Unserved     *Unserved       `json:"unserved"`
	Paused       *Pause          `json:"paused"`
	WaitsFor     *WaitsFor       `json:"waits_for"`
	Error        *string         `json:"error"`
	ErrorCode    *string         `json:"error_code"`
	ErrorDetails json.RawMessage `json:"error_details"`
	RetryCount   int             `json:"retry_count"`
	MaxRetries   int             `json:"max_retries"`
	Exhausted    bool            `json:"exhausted"`
	NextRetryAt  *jsonTime       `json:"next_retry_at"`
}

type fullJSON struct {
	standardJSON
	Func        string    `json:"func"`
	Queue       string    `json:"queue"`
	CreatedAt   *jsonTime `json:"created_at"`
	CompletedAt *jsonTime `json:"completed_at"`
	ExpiresAt   *jsonTime `json:"expires_at"`
	ETA         *float64  `json:"eta_seconds"`
	LostCount   int       `json:"lost_count"`
	Attempt     int       `json:"attempt"`
}

// MarshalJSON writes the [Standard] format.
func (r Response[T]) MarshalJSON() ([]byte, error) {
	return r.JSON(Standard)
}

// JSON writes the response in the given format: every field of the format is there, null when not known; times are
// RFC 3339 in UTC with milliseconds, durations numbers of seconds. The error is that of encoding Value, or names an
// unknown format.
func (r Response[T]) JSON(format Format) ([]byte, error) {
	minimal := minimalJSON{r.RefID, r.Status, r.IsComplete, r.IsAsync, r.CanRetry, r.IsStale}
	if format == Minimal {
		return marshal(minimal)
	}
	standard := standardJSON{minimalJSON: minimal, AgeSeconds: seconds(r.Age), StaleReason: stringPtr(r.StaleReason),
		Refreshing: r.Refreshing, Cache: stringPtr(r.Cache), StartedAt: timePtr(r.StartedAt),
		Progress: progressOf(r.Progress), Message: stringPtr(r.Message), Unserved: stringPtr(r.Unserved), WaitsFor: stringPtr(r.WaitsFor),
		Paused: r.Paused, Error: stringPtr(r.Error), ErrorCode: stringPtr(r.ErrorCode), ErrorDetails: r.ErrorDetails,
		RetryCount: r.RetryCount, MaxRetries: r.MaxRetries,
		Exhausted: r.Exhausted, NextRetryAt: timePtr(r.NextRetryAt)}
	if r.HasValue {
		standard.Value = r.Value
	}
	switch format {
	case Standard:
		return marshal(standard)
	case Full:
		return marshal(fullJSON{standardJSON: standard, Func: r.Func, Queue: r.Queue, CreatedAt: timePtr(&r.CreatedAt),
			CompletedAt: timePtr(r.CompletedAt), ExpiresAt: timePtr(r.ExpiresAt), ETA: seconds(r.ETA),
			LostCount: r.LostCount, Attempt: r.Attempt})
	}
	return nil, fmt.Errorf("response format %q: use minimal, standard or full", format)
}

type progressJSON struct {
	Current    int64    `json:"current"`
	Total      *int64   `json:"total"`
	Message    *string  `json:"message"`
	Percentage *float64 `json:"percentage"`
}

type taskInfoJSON struct {
	RefID              Ref             `json:"ref_id"`
	Func               string          `json:"func"`
	Version            int             `json:"version"`
	Namespace          string          `json:"namespace"`
	Queue              string          `json:"queue"`
	Status             Status          `json:"status"`
	Note               *string         `json:"note"`
	Unserved           *Unserved       `json:"unserved"`
	Paused             *Pause          `json:"paused"`
	WaitsFor           *WaitsFor       `json:"waits_for"`
	Turn               *turnJSON       `json:"turn"`
	Cycle              int             `json:"cycle"`
	Attempt            int             `json:"attempt"`
	Worker             *string         `json:"worker"`
	Progress           *progressJSON   `json:"progress"`
	CreatedAt          *jsonTime       `json:"created_at"`
	StartedAt          *jsonTime       `json:"started_at"`
	CompletedAt        *jsonTime       `json:"completed_at"`
	ExpiresAt          *jsonTime       `json:"expires_at"`
	NextRetryAt        *jsonTime       `json:"next_retry_at"`
	AsOf               *jsonTime       `json:"as_of"`
	IsStale            bool            `json:"is_stale"`
	StaleReason        *StaleReason    `json:"stale_reason"`
	Error              *string         `json:"error"`
	LastError          *string         `json:"last_error"`
	ErrorCause         *Cause          `json:"error_cause"`
	ErrorCode          *string         `json:"error_code"`
	ErrorDetails       json.RawMessage `json:"error_details"`
	RetryCount         int             `json:"retry_count"`
	MaxRetries         int             `json:"max_retries"`
	LostCount          int             `json:"lost_count"`
	CanRetry           bool            `json:"can_retry"`
	Exhausted          bool            `json:"exhausted"`
	RetryDelay         float64         `json:"retry_delay_seconds"`
	RetryBackoffFactor float64         `json:"retry_backoff_factor"`
	Timeout            *float64        `json:"timeout_seconds"`
	RetryHistory       []attemptJSON   `json:"retry_history"`
	AttemptsTotal      int             `json:"attempts_total"`
	Events             []eventJSON     `json:"events"`
	EventsTotal        int             `json:"events_total"`
	Unreadable         *string         `json:"unreadable"`
}

type attemptJSON struct {
	Cycle     int             `json:"cycle"`
	Attempt   int             `json:"attempt"`
	Error     string          `json:"error"`
	Cause     Cause           `json:"cause"`
	Timestamp *jsonTime       `json:"timestamp"`
	StartedAt *jsonTime       `json:"started_at"`
	Duration  float64         `json:"duration_seconds"`
	Delay     float64         `json:"delay_seconds"`
	Worker    string          `json:"worker"`
	Permanent bool            `json:"permanent"`
	Code      *string         `json:"code"`
	Details   json.RawMessage `json:"details"`
}

type eventJSON struct {
	At   *jsonTime `json:"at"`
	Kind EventKind `json:"kind"`
	By   string    `json:"by"`

	Times *int      `json:"times"`
	Since *jsonTime `json:"since"`
	Note  *string   `json:"note"`
}

type turnJSON struct {
	Gate        string     `json:"gate"`
	Key         string     `json:"key"`
	Share       string     `json:"share"`
	Position    int        `json:"position"`
	Running     int        `json:"running"`
	Limit       int        `json:"limit"`
	Reason      TurnReason `json:"reason"`
	NextStartAt *jsonTime  `json:"next_start_at"`
}

func turnOf(t *TurnInfo) *turnJSON {
	if t == nil {
		return nil
	}
	return &turnJSON{t.Gate, t.Key, t.Share, t.Position, t.Running, t.Limit, t.Reason, timePtr(t.NextStartAt)}
}

// MarshalJSON writes all fields, null when not known; times are RFC 3339 in UTC with milliseconds, durations numbers
// of seconds. A timeout_seconds of null means no limit.
func (i TaskInfo) MarshalJSON() ([]byte, error) {
	out := taskInfoJSON{RefID: i.RefID, Func: i.Func, Version: i.Version, Namespace: i.Namespace, Queue: i.Queue,
		Status: i.Status, Note: stringPtr(i.Note), Unserved: stringPtr(i.Unserved), Paused: i.Paused, WaitsFor: stringPtr(i.WaitsFor), Turn: turnOf(i.Turn),
		Cycle: i.Cycle, Attempt: i.Attempt, Worker: stringPtr(i.Worker),
		Progress: progressOf(i.Progress), CreatedAt: timePtr(&i.CreatedAt), StartedAt: timePtr(i.StartedAt),
		CompletedAt: timePtr(i.CompletedAt), ExpiresAt: timePtr(i.ExpiresAt), NextRetryAt: timePtr(i.NextRetryAt),
		AsOf: timePtr(i.AsOf), IsStale: i.IsStale, StaleReason: stringPtr(i.StaleReason), Error: stringPtr(i.Error), LastError: stringPtr(i.LastError), ErrorCause: stringPtr(i.ErrorCause),
		ErrorCode: stringPtr(i.ErrorCode), ErrorDetails: i.ErrorDetails,
		RetryCount: i.RetryCount, MaxRetries: i.MaxRetries, LostCount: i.LostCount, CanRetry: i.CanRetry,
		Exhausted: i.Exhausted, RetryDelay: i.RetryDelay.Seconds(), RetryBackoffFactor: i.RetryBackoffFactor,
		RetryHistory: make([]attemptJSON, len(i.RetryHistory)), AttemptsTotal: i.AttemptsTotal,
		Events: make([]eventJSON, len(i.Events)), EventsTotal: i.EventsTotal, Unreadable: stringPtr(i.Unreadable)}
	if i.Timeout > 0 {
		out.Timeout = seconds(&i.Timeout)
	}
	for n, a := range i.RetryHistory {
		out.RetryHistory[n] = attemptJSON{a.Cycle, a.Attempt, a.Error, a.Cause, timePtr(&a.Timestamp),
			timePtr(&a.StartedAt), a.Duration.Seconds(), a.Delay.Seconds(), a.Worker, a.Permanent, stringPtr(a.Code), a.Details}
	}
	for n, e := range i.Events {
		out.Events[n] = eventJSON{At: timePtr(&e.At), Kind: e.Kind, By: e.By, Since: timePtr(e.Since), Note: stringPtr(e.Note)}
		if e.Times > 0 {
			out.Events[n].Times = &e.Times
		}
	}
	return marshal(out)
}

// jsonTime is a time in the one form that refq prints.
type jsonTime time.Time

func (t jsonTime) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z07:00"), nil
}

func timePtr(t *time.Time) *jsonTime {
	if t == nil || t.IsZero() {
		return nil
	}
	return (*jsonTime)(t)
}

func seconds(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	return new(d.Seconds())
}

func stringPtr[S ~string](s S) *S {
	if s == "" {
		return nil
	}
	return &s
}

func progressOf(p *Progress) *progressJSON {
	if p == nil {
		return nil
	}
	out := progressJSON{Current: p.Current, Message: stringPtr(p.Message), Percentage: p.Percentage}
	if p.Total != 0 {
		out.Total = &p.Total
	}
	return &out
}

// marshal is json.Marshal without the escapes for HTML: a result is shown as it was written.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
