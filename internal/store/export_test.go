package store

import "github.com/refq/refq/refcache"

// Transition is one row of the state machine's table, for the conformance suite.
type Transition struct {
	Script   string
	From, To refcache.Status // empty: no record
}

// Transitions returns the state machine's table.
func Transitions() []Transition {
	var table []Transition
	for _, t := range transitions {
		table = append(table, Transition{t.script, t.from, t.to})
	}
	return table
}

// Fields are what readers of a record ask for.
var Fields = fields

// What a record must look like.
var (
	WholeFields   = wholeFields
	DecimalFields = decimalFields
	NeededFields  = neededFields
)
