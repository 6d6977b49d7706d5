package bench

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"sync/atomic"
)

// wire counts what passes on the connections of some clients, whatever the clients do above them: pools, pipelines,
// subscriptions, connections that a worker makes for itself.
type wire struct {
	commands, sends, bytes atomic.Int64
}

// traffic is what has passed on a wire.
type traffic struct {
	commands int64 // sent by clients
	sends    int64 // how often a client sent something: a command, or a pipeline as a whole
	bytes    int64 // both ways
}

func (w *wire) traffic() traffic {
	return traffic{w.commands.Load(), w.sends.Load(), w.bytes.Load()}
}

func (t traffic) since(earlier traffic) traffic {
	return traffic{t.commands - earlier.commands, t.sends - earlier.sends, t.bytes - earlier.bytes}
}

// dialer makes connections, as go-redis has it.
type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// tap has the connections that a dialer makes counted.
func (w *wire) tap(dial dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &tapped{Conn: conn, wire: w}, nil
	}
}

// tapped is a connection that is counted. Only one goroutine writes to it at a time, as to any connection of a client.
type tapped struct {
	net.Conn
	wire *wire
	sent requests
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.bytes.Add(int64(n))
	return n, err
}

func (c *tapped) Write(p []byte) (int, error) {
	if c.sent.complete() { // else it is more of a large one
		c.wire.sends.Add(1)
	}
	c.wire.commands.Add(c.sent.count(p))
	n, err := c.Conn.Write(p)
	c.wire.bytes.Add(int64(n))
	return n, err
}

// requests finds the commands in what a client writes: *ARGUMENTS, then $LENGTH and so many bytes for each.
type requests struct {
	line []byte // begun, not ended
	args int    // of the command that are still to come
	skip int    // bytes of the argument that are still to come, its line end included
}

// complete reports whether the last command was written to its end.
func (r *requests) complete() bool { return r.args == 0 && r.skip == 0 && len(r.line) == 0 }

// count returns how many commands begin in p.
func (r *requests) count(p []byte) (n int64) {
	for len(p) > 0 {
		if r.skip > 0 {
			some := min(r.skip, len(p))
			r.skip, p = r.skip-some, p[some:]
			continue
		}
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			r.line = append(r.line, p...)
			return n
		}
		r.line, p = append(r.line, p[:end]...), p[end+1:]
		n += r.header()
		r.line = r.line[:0]
	}
	return n
}

// header reads a line that is no argument, and returns how many commands begin there.
func (r *requests) header() int64 {
	line := bytes.TrimSuffix(r.line, []byte("\r"))
	if len(line) < 2 {
		return 0
	}
	size, err := strconv.Atoi(string(line[1:]))
	if err != nil {
		return 0
	}
	switch line[0] {
	case '*':
		r.args = size
		return 1
	case '$':
		r.args, r.skip = r.args-1, size+len("\r\n")
	}
	return 0
}
