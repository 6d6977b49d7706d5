package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/refq/refq/refcache"
)

// none stands for a task without a record.
const none refcache.Status = ""

// letIn stands for every script that gives a gate room: it lets in who waits.
const letIn = "gates"

// transition is one arrow of the state diagram: a script that takes a task from one status to another.
type transition struct {
	script   string
	from, to refcache.Status
}

// transitions is the state machine. The scripts hold no copy: each is given the statuses that it may leave.
var transitions = []transition{
	{"submit", none, refcache.Pending},
	{"submit", refcache.Cancelled, refcache.Pending},
	{"submit", refcache.Failed, refcache.Pending},   // with RetryFailed, or when the failure answers no longer
	{"submit", refcache.Complete, refcache.Pending}, // with Refresh
	{"submit", none, refcache.Waiting},              // these, when the turn of the call has not come
	{"submit", refcache.Cancelled, refcache.Waiting},
	{"submit", refcache.Failed, refcache.Waiting},
	{"submit", refcache.Complete, refcache.Waiting},
	{letIn, refcache.Waiting, refcache.Pending},
	{"claim", refcache.Pending, refcache.Waiting}, // without a permit, or when its gate is paused
	{"claim", refcache.Retrying, refcache.Waiting},
	{"claim", refcache.Pending, refcache.Processing},
	{"claim", refcache.Retrying, refcache.Processing},  // when due
	{"finish", refcache.Processing, refcache.Complete}, // also when a refresh failed
	{"finish", refcache.Processing, refcache.Retrying},
	{"finish", refcache.Processing, refcache.Failed},
	{"finish", refcache.Processing, refcache.Pending}, // handed back
	{"finish", refcache.Processing, refcache.Waiting}, // what it needs is unavailable
	{"enter", refcache.Processing, refcache.Processing},
	{"enter", refcache.Processing, refcache.Waiting},
	{"redeliver", refcache.Processing, refcache.Pending},
	{"redeliver", refcache.Processing, refcache.Failed},   // lost too often
	{"redeliver", refcache.Processing, refcache.Complete}, // the same, for a refresh
	{"new_delivery", refcache.Pending, refcache.Pending},
	{"new_delivery", refcache.Retrying, refcache.Retrying},
	{"progress", refcache.Processing, refcache.Processing},
	{"retry", refcache.Failed, refcache.Pending},
	{"retry", refcache.Failed, refcache.Waiting},
	{"cancel", refcache.Waiting, refcache.Cancelled},
	{"cancel", refcache.Waiting, refcache.Complete},
	{"cancel", refcache.Pending, refcache.Cancelled},
	{"cancel", refcache.Retrying, refcache.Cancelled},
	{"cancel", refcache.Processing, refcache.Cancelled},
	{"cancel", refcache.Pending, refcache.Complete}, // a refresh
	{"cancel", refcache.Retrying, refcache.Complete},
	{"cancel", refcache.Processing, refcache.Complete},
	{"delete", refcache.Complete, none},
	{"delete", refcache.Failed, none},
	{"delete", refcache.Cancelled, none},
}

// luaFrom writes the statuses that a script may leave as a Lua table.
func luaFrom(script string) string {
	var b strings.Builder
	var named []refcache.Status
	for _, t := range transitions {
		if t.script == script && t.from != none && !slices.Contains(named, t.from) {
			named = append(named, t.from)
			fmt.Fprintf(&b, "%s = true, ", t.from)
		}
	}
	return "{" + b.String() + "}"
}

// luaStatuses writes some of the statuses as a Lua table.
func luaStatuses(are func(refcache.Status) bool) string {
	var b strings.Builder
	for _, s := range refcache.Statuses {
		if are(s) {
			fmt.Fprintf(&b, "%s = true, ", s)
		}
	}
	return "{" + b.String() + "}"
}
