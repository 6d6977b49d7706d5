package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Table is what a scenario showed.
type Table struct {
	Scenario string
	About    string // one sentence
	Rows     []Row
}

// Row is what one side showed in one case of a scenario.
type Row struct {
	Scenario string
	Case     string // what of the scenario; may be empty
	Side     string // who: refq, or what it is compared with
	Redis    string // its version
	Options  Options
	Figures  map[Measure]Spread // those that the scenario has
	Against  string             // the side that the Ratios are to; empty: none
	Ratios   map[Measure]Spread
}

// MarshalJSON writes all fields; a figure that the scenario has not is null.
func (r Row) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	field := func(name string, value any) {
		text, err := json.Marshal(value)
		if err != nil {
			panic(err) // strings and finite numbers only
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", name, text)
	}
	o := r.Options
	field("scenario", r.Scenario)
	field("case", r.Case)
	field("side", r.Side)
	field("redis_version", r.Redis)
	field("rounds", o.Rounds)
	field("calls", o.Calls)
	field("concurrency", o.Concurrency)
	field("payload_bytes", o.Payload)
	field("delay_ms", float64(o.Delay.Microseconds())/1000)
	for _, m := range Measures {
		field(string(m), orNull(r.Figures, m))
	}
	field("against", r.Against)
	ratios := map[Measure]*Spread{}
	for _, m := range Measures {
		ratios[m] = orNull(r.Ratios, m)
	}
	field("ratios", ratios)
	b.WriteByte('}')
	return b.Bytes(), nil
}

func orNull(figures map[Measure]Spread, m Measure) *Spread {
	if s, ok := figures[m]; ok {
		return &s
	}
	return nil
}
