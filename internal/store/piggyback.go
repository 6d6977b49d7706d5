package store

// Piggyback is a script about other keys of the same queue that runs in one step with one of ours. Behind a fast path it runs
// last, it never makes its transition fail, and the full path never runs it (R10).
type Piggyback struct {
	Text string // one for all uses but for few: Redis keeps a script for each
	Use
}

// behind returns a use of a script with the piggyback's keys and arguments behind its own.
func (p *Piggyback) behind(own Use) Use {
	return Use{append(own.Keys, p.Keys...), append(own.Args, p.Args...)}
}
