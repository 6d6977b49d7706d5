package refcache

import (
	"fmt"
	"time"
)

// Pause says that no worker starts calls of a queue, of a function in any queue, or of a gate or one of its keys. What runs goes on,
// and calls are accepted.
type Pause struct {
	Queue string  // empty: a function is paused
	Func  string  // in all of its versions, or in one, as name@version; empty: something else is paused
	Gate  string  // of the queue; empty: something else is paused
	Key   *string // of the gate; nil: the gate is paused as a whole

	By     string     // who has paused it; empty: that is not known, as when it was done in asynq's web UI
	At     *time.Time // since when, by Redis's clock; nil: that is not known
	Until  *time.Time // when it ends by itself; nil: never
	Reason string     // in the words of who has paused it; may be empty
}

// Target names what is paused, for people: "queue media", "function thumb@2", "gate maps of queue media" or "key a.example of gate
// maps of queue media", without the queue of a gate if Queue is empty. Keys are as [QuoteKey] has them.
func (p Pause) Target() string {
	gate := "gate " + p.Gate
	if p.Queue != "" {
		gate += " of queue " + p.Queue
	}
	switch {
	case p.Func != "":
		return "function " + p.Func
	case p.Key != nil:
		return fmt.Sprintf("key %s of %s", QuoteKey(*p.Key), gate)
	case p.Gate != "":
		return gate
	}
	return "queue " + p.Queue
}

// String is a sentence for people, without its end: what is paused, by whom, since when or from when to when, and why. Its times
// are local ones.
func (p Pause) String() string {
	text := p.Target() + " is paused"
	if p.By != "" {
		text += " by " + p.By
	}
	switch {
	case p.At != nil && p.Until != nil:
		text += fmt.Sprintf(", %s to %s", localTime(*p.At, toMinute), localTime(*p.Until, toMinute))
	case p.Until != nil:
		text += " until " + localTime(*p.Until, toMinute)
	case p.At != nil:
		text += " since " + localTime(*p.At, toMinute)
	}
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}

// How exactly localTime tells a time.
const (
	toMinute = "15:04"
	toSecond = time.TimeOnly
)

// localTime is a local time, with its day unless that is today.
func localTime(t time.Time, form string) string {
	t = t.Local()
	if t.Format(time.DateOnly) == time.Now().Format(time.DateOnly) {
		return t.Format(form)
	}
	return t.Format(time.DateOnly + " " + form)
}

type pauseJSON struct {
	Queue  *string   `json:"queue"`
	Func   *string   `json:"func"`
	Gate   *string   `json:"gate"`
	Key    *string   `json:"key"`
	By     *string   `json:"by"`
	At     *jsonTime `json:"at"`
	Until  *jsonTime `json:"until"`
	Reason *string   `json:"reason"`
}

// MarshalJSON writes all fields, null when not known; times are RFC 3339 in UTC with milliseconds.
func (p Pause) MarshalJSON() ([]byte, error) {
	return marshal(pauseJSON{stringPtr(p.Queue), stringPtr(p.Func), stringPtr(p.Gate), p.Key, stringPtr(p.By), timePtr(p.At), timePtr(p.Until), stringPtr(p.Reason)})
}
