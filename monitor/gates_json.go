package monitor

import (
	"github.com/refq/refq/refcache"
)

// gateNumbersJSON has 0 for no limit.
type gateNumbersJSON struct {
	Each        int    `json:"each"`
	All         any    `json:"all"`  // a number, or "slots"
	Rate        string `json:"rate"` // such as 20/s, or "0"
	Burst       int    `json:"burst"`
	MostWaiting int    `json:"most_waiting"`
}

type gateDeclaredJSON struct {
	gateNumbersJSON
	By string   `json:"by"`
	At jsonTime `json:"at"`
}

// gateSetJSON has null for what is as declared.
type gateSetJSON struct {
	Each        *int      `json:"each"`
	All         any       `json:"all"`
	Rate        *string   `json:"rate"`
	Burst       *int      `json:"burst"`
	MostWaiting *int      `json:"most_waiting"`
	By          string    `json:"by"`
	At          jsonTime  `json:"at"`
	Until       *jsonTime `json:"until"`
}

type gateJSON struct {
	Queue      string            `json:"queue"`
	Name       string            `json:"gate"`
	Numbers    gateNumbersJSON   `json:"numbers"`
	Declared   *gateDeclaredJSON `json:"declared"`
	Set        *gateSetJSON      `json:"set"`
	Paused     *refcache.Pause   `json:"paused"`
	Running    int               `json:"running"`
	Limit      int               `json:"limit"` // 0: none
	Waiting    int               `json:"waiting"`
	Keys       int               `json:"keys"`
	Partial    bool              `json:"partial"`
	Oldest     *float64          `json:"oldest_seconds"`
	Stalled    *float64          `json:"stalled_seconds"`
	ClosedKey  *string           `json:"closed_key"`
	Closed     *float64          `json:"closed_seconds"`
	Undeclared bool              `json:"undeclared"`
	Differing  []gateNumbersJSON `json:"differing"`
}

type gateKeyJSON struct {
	Key         string               `json:"key"`
	Running     int                  `json:"running"`
	Waiting     int                  `json:"waiting"`
	Oldest      *float64             `json:"oldest_seconds"`
	Reason      *refcache.TurnReason `json:"reason"`
	NextStartAt *jsonTime            `json:"next_start_at"`
	ClosedUntil *jsonTime            `json:"closed_until"`
	ClosedAt    *jsonTime            `json:"closed_at"`
	Paused      *refcache.Pause      `json:"paused"`
	Unserved    *refcache.Unserved   `json:"unserved"`
	Message     *string              `json:"message"`
}

// MarshalJSON writes all facts, null where there is none, times and durations as those of a [Health]. In numbers 0 is no limit, and
// null, in set, as declared.
func (g GateState) MarshalJSON() ([]byte, error) {
	out := gateJSON{Queue: g.Queue, Name: g.Name, Numbers: newGateNumbersJSON(g.Numbers), Paused: g.Paused, Running: g.Running,
		Limit: g.Limit, Waiting: g.Waiting, Keys: g.Keys, Partial: g.Partial, Oldest: secondsIf(g.Waiting > 0, g.Oldest),
		Stalled: secondsIf(g.Stalled > 0, g.Stalled), Closed: seconds(g.Closed), Undeclared: g.Undeclared, Differing: []gateNumbersJSON{}}
	if d := g.Declared; d != nil {
		out.Declared = &gateDeclaredJSON{newGateNumbersJSON(d.Numbers), d.By, jsonTime(d.At)}
	}
	if s := g.Set; s != nil {
		out.Set = newGateSetJSON(*s)
	}
	if g.Closed != nil {
		out.ClosedKey = &g.ClosedKey
	}
	for _, numbers := range g.Differing {
		out.Differing = append(out.Differing, newGateNumbersJSON(numbers))
	}
	return marshal(out)
}

func newGateNumbersJSON(g refcache.Gate) gateNumbersJSON {
	return gateNumbersJSON{g.Each, allJSON(g.All), g.Rate.String(), g.Rate.Burst, g.MostWaiting}
}

func allJSON(all int) any {
	if all == refcache.Slots {
		return "slots"
	}
	return all
}

func newGateSetJSON(s GateSet) *gateSetJSON {
	out := gateSetJSON{Each: s.Each, MostWaiting: s.MostWaiting, By: s.By, At: jsonTime(s.At), Until: timePtr(s.Until)}
	if s.All != nil {
		out.All = allJSON(*s.All)
	}
	if r := s.Rate; r != nil {
		out.Rate, out.Burst = new(r.String()), &r.Burst
	}
	return &out
}

// MarshalJSON writes all facts as those of a [GateState].
func (k GateKey) MarshalJSON() ([]byte, error) {
	return marshal(gateKeyJSON{Key: k.Key, Running: k.Running, Waiting: k.Waiting, Oldest: secondsIf(k.Waiting > 0, k.Oldest),
		Reason: stringPtr(k.Reason), NextStartAt: timePtr(k.NextStartAt), ClosedUntil: timePtr(k.ClosedUntil), ClosedAt: timePtr(k.ClosedAt), Paused: k.Paused,
		Unserved: stringPtr(k.Unserved), Message: stringPtr(k.Message)})
}
