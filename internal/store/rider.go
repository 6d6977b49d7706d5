package store

import (
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Rider is a script about other keys of the same queue that runs in one step with one of ours: with the short form of a
// transition after all that this writes, not at all when that takes the full form; with a Take before it. What it answers comes
// back as well.
type Rider struct {
	Text string // one text for all uses but for few: Redis keeps a script for each
	Use
}

// ridden is what a script with a rider is made of.
type ridden struct{ name, rider string }

// riding are the scripts with riders, by what they are made of.
var riding sync.Map

// withRider returns the script of that name with a rider. The rider's keys and arguments stand behind so many of its own.
func withRider(name, rider string, keys, args int) *redis.Script {
	made := ridden{name, rider}
	if script, known := riding.Load(made); known {
		return script.(*redis.Script)
	}
	ride := fmt.Sprintf("local function ride()\nlocal KEYS, ARGV = {unpack(KEYS, %d)}, {unpack(ARGV, %d)}\n%s\nend\n",
		keys+1, args+1, strings.TrimSpace(rider))
	text := strings.Replace(told(name, code(source(name))), "CLAIM\n", told("claim_short", code(source("claim_short"))), 1)
	script, _ := riding.LoadOrStore(made, redis.NewScript(ride+text))
	return script.(*redis.Script)
}

// behind returns a use of a script with the rider's behind it.
func (r *Rider) behind(own Use) Use {
	return Use{append(own.Keys, r.Keys...), append(own.Args, r.Args...)}
}

// with returns the short form with a rider, and what it is to be run with. Without one that is as it was.
func (d shortened) with(r *Rider, own Use) (*redis.Script, Use) {
	if r == nil {
		return d.short, own
	}
	return withRider(d.name+"_short", r.Text, len(own.Keys), d.args), r.behind(own)
}

// noRide is what stands before a script that takes no rider along.
const noRide = "local ride\n"
