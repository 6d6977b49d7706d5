// Package netproxy is a way to a Redis server over which things go wrong on purpose: a TCP proxy that knows where a
// command and its reply begin and end, and loses, cuts, delays or refuses what it is told to.
package netproxy

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is what befalls a command on its way. What its client has sent behind it never arrives, whatever the fault;
// what it has sent before it is answered first.
type Fault string

const (
	Pass        Fault = ""             // no fault: it runs and is answered
	DropRequest Fault = "drop request" // the connection is cut before the command arrives: it does not run
	DropReply   Fault = "drop reply"   // the command runs, but the connection is cut before the answer arrives
	HalfReply   Fault = "half reply"   // the command runs, but the connection is cut half-way through the answer
	Stall       Fault = "stall"        // the command does not arrive: the connection stays open and silent for good
)

// Proxy passes connections on to a Redis server. It may be used concurrently. It speaks RESP2 and RESP3, but no
// attributes, inline commands, MONITOR or CLIENT REPLY.
type Proxy struct {
	target   atomic.Pointer[string]
	listener net.Listener
	faults   atomic.Pointer[func(cmd []string) Fault]
	lifetime atomic.Pointer[func() int64]
	delay    atomic.Int64 // nanoseconds

	mu      sync.Mutex
	refuses bool
	conns   map[*conn]bool
	running sync.WaitGroup
}

// Listen starts a Proxy on a free port of the loopback interface. target is the host:port of the server; nobody answers
// there yet is no error: until somebody does, connections are cut.
func Listen(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start a proxy of %s: %w", target, err)
	}
	p := &Proxy{listener: l, conns: map[*conn]bool{}}
	p.Repoint(target)
	p.running.Go(p.accept)
	return p, nil
}

// Addr returns the host:port that the Proxy listens on.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Repoint has each connection made from now on lead to another server, as an address does after a failover. Others stay.
func (p *Proxy) Repoint(target string) { p.target.Store(&target) }

// SetFaults has faults asked about every command that a client sends from now on, HELLO among them. The command is what
// the client sent, its name in upper case: a script is an EVALSHA or, if the server has not met it, an EVAL that follows
// one. Faults is called concurrently; while it sleeps, its connection waits, no other. Nil ends all faults, but wakes no
// connection that has stalled.
func (p *Proxy) SetFaults(faults func(cmd []string) Fault) { p.faults.Store(&faults) }

// SetLifetime has bytes asked how much each connection made from now on may carry, both ways together. Then it is cut, in
// the middle of a command or a reply as it happens. Bytes is called concurrently. Nil ends that for new connections.
func (p *Proxy) SetLifetime(bytes func() int64) { p.lifetime.Store(&bytes) }

// SetDelay has whatever comes from the server from now on arrive so much later. Replies to a pipeline share the delay.
func (p *Proxy) SetDelay(d time.Duration) { p.delay.Store(int64(d)) }

// Cut cuts all connections, and every new one as soon as it is made, until [Proxy.Heal].
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = true
	for c := range p.conns {
		c.close()
	}
}

// Heal ends what Cut began.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = false
}

// Close ends the Proxy, its connections and its goroutines. Closing again does nothing.
func (p *Proxy) Close() {
	_ = p.listener.Close() // it may be closed
	p.Cut()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

// patience is how long a server may take to accept a connection.
const patience = 2 * time.Second

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.DialTimeout("tcp", *p.target.Load(), patience)
	if err != nil {
		return
	}
	if lifetime := p.lifetime.Load(); lifetime != nil && *lifetime != nil {
		client = newMortal(client, (*lifetime)())
	}
	c := newConn(p, client, server)
	defer c.close()
	if !p.keep(c) {
		return
	}
	defer p.forget(c)
	c.run()
}

// keep reports whether the connection may be: in an outage it may not.
func (p *Proxy) keep(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuses {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) forget(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) fault(cmd []string) Fault {
	if faults := p.faults.Load(); faults != nil && *faults != nil {
		return (*faults)(cmd)
	}
	return Pass
}
