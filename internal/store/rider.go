package store

import (
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Rider is a script about other keys of the same queue that runs in one step with the short form of one of ours, after all
// that this writes; not at all when that takes the full form. What it answers comes back as well.
type Rider struct {
	Text string // one text for all uses but for few: Redis keeps a script for each
	Use
}

// riding are the scripts that take a rider along, by what they are made of.
var riding sync.Map

type ridden struct{ name, rider string }

// with returns the short form with a rider, and what it is to be run with. Without one that is as it was.
func (d shortened) with(r *Rider, own Use) (*redis.Script, Use) {
	if r == nil {
		return d.short, own
	}
	made := ridden{d.name, r.Text}
	script, known := riding.Load(made)
	if !known {
		script, _ = riding.LoadOrStore(made, redis.NewScript(ride(r.Text, d.args)+told(d.name+"_short", code(source(d.name+"_short")))))
	}
	return script.(*redis.Script), Use{append(own.Keys, r.Keys...), append(own.Args, r.Args...)}
}

// noRide is what stands before a script that takes no rider along.
const noRide = "local ride\n"

// ride defines what a script calls to have its rider do its part. The keys and arguments of the rider stand behind those of
// the script: the keys about a task, and so many arguments.
func ride(rider string, args int) string {
	return fmt.Sprintf("local function ride()\nlocal KEYS, ARGV = {unpack(KEYS, %d)}, {unpack(ARGV, %d)}\n%s\nend\n",
		len(about(""))+1, args+1, strings.TrimSpace(rider))
}
