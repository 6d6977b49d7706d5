package redact

import "github.com/refq/refq/monitor"

// Gate hides what the keys of a gate say, and why it is paused.
func (r *Rules) Gate(g monitor.GateState) monitor.GateState {
	g.ClosedKey, g.Paused = r.Text(g.ClosedKey), r.pause(g.Paused)
	return g
}

// GateKey hides what a key of a gate says, why it is paused, and why nobody runs its calls.
func (r *Rules) GateKey(k monitor.GateKey) monitor.GateKey {
	k.Key, k.Paused, k.Message = r.Text(k.Key), r.pause(k.Paused), r.Text(k.Message)
	return k
}
