package memredis

import (
	"bufio"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// Fault is what befalls a command on its way. A Fault that is none of the constants is the error reply that the client
// gets in place of an execution, such as "READONLY You can't write against a read only replica."; go-redis itself
// repeats commands after some of these, LOADING and READONLY among them.
type Fault string

const (
	Pass        Fault = ""             // no fault: it runs and is answered
	DropRequest Fault = "drop request" // the connection is cut before the command arrives: it does not run
	DropReply   Fault = "drop reply"   // the command runs, but the connection is cut before the answer arrives
)

// wire stands between the clients' connections and miniredis, as its hook before each command.
type wire struct {
	server  *server.Server
	setTime func(time.Time)

	mu      sync.Mutex
	ahead   time.Duration // Redis's clock of this process's
	stepped bool          // it was set once: from then on miniredis has to be told the time
	faults  func(cmd []string) Fault
	peers   map[*server.Peer]peerState // connections, and peers of ours
}

func newWire(s *server.Server, setTime func(time.Time)) *wire {
	return &wire{server: s, setTime: setTime, peers: map[*server.Peer]peerState{}}
}

type peerState int

const (
	connected peerState = iota
	cut                 // what its client had sent before the cut never arrives
	deaf                // executes a command for a connection that will not get the answer
)

func (w *wire) setFaults(faults func(cmd []string) Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = faults
}

// stepClock sets Redis's clock, and returns what it tells now.
func (w *wire) stepClock(d time.Duration) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stepped = true
	w.ahead += d
	return time.Now().Add(w.ahead)
}

// receive reports whether the command is done with, so that miniredis leaves it.
func (w *wire) receive(p *server.Peer, name string, args ...string) bool {
	state, fromClient := w.peer(p)
	switch {
	case !fromClient || state == deaf:
		return false
	case state == cut:
		return true
	}
	w.mu.Lock()
	if w.stepped {
		w.setTime(time.Now().Add(w.ahead))
	}
	faults := w.faults
	w.mu.Unlock()
	if faults == nil {
		return tell(p, name)
	}

	cmd := append([]string{name}, args...)
	switch fault := faults(cmd); fault {
	case Pass:
		return tell(p, name)
	case DropReply:
		w.execute(p, cmd)
		w.cut(p)
	case DropRequest:
		w.cut(p)
	default:
		p.WriteError(string(fault))
	}
	return true
}

// peer tells connections from the peers that miniredis makes for what a script calls: these have a Ctx from the
// beginning, a connection has none before its first command.
func (w *wire) peer(p *server.Peer) (state peerState, fromClient bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	state, known := w.peers[p]
	if !known && p.Ctx == nil {
		w.peers[p], known = connected, true
		p.OnDisconnect(func() { w.forget(p) })
	}
	return state, known
}

func (w *wire) setState(p *server.Peer, state peerState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peers[p] = state
}

func (w *wire) forget(p *server.Peer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.peers, p)
}

// cut has miniredis close the connection once this command is done with.
func (w *wire) cut(p *server.Peer) {
	w.setState(p, cut)
	p.Close()
}

// execute runs a command on the connection's database and in its transaction, and throws away what it answers.
func (w *wire) execute(p *server.Peer, cmd []string) {
	if strings.HasSuffix(cmd[0], "SUBSCRIBE") {
		return // its effect would end with the connection
	}
	nobody := server.NewPeer(bufio.NewWriter(io.Discard))
	nobody.Ctx = p.Ctx
	w.setState(nobody, deaf)
	defer w.forget(nobody)
	w.server.Dispatch(nobody, cmd)
}
