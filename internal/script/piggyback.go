package script

// Piggyback is a script about other keys of the same queue that runs in one step with another. Behind the fast path of
// a transition it runs last, it never makes its transition fail, and the full path never runs it (R10).
type Piggyback struct {
	Text string // one for all uses but for few: Redis keeps a script for each
	Use
}

// AppendTo returns a use of a script with the piggyback's keys and arguments behind its own.
func (p *Piggyback) AppendTo(own Use) Use {
	return Use{append(own.Keys, p.Keys...), append(own.Args, p.Args...)}
}
