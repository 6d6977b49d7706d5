package memredis

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// clientConn is the client's end of a pipe, closed by the server as a socket is: go-redis repeats a command on a new
// connection after EPIPE or EOF, but would give up on io.ErrClosedPipe.
type clientConn struct{ net.Conn }

func (c clientConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, io.ErrClosedPipe) {
		err = &net.OpError{Op: "write", Net: "pipe", Err: syscall.EPIPE}
	}
	return n, err
}

// A socket takes deadlines after the other side has closed it; the reading or writing that follows finds that out.

func (c clientConn) SetReadDeadline(t time.Time) error {
	return unlessClosed(c.Conn.SetReadDeadline(t))
}

func (c clientConn) SetWriteDeadline(t time.Time) error {
	return unlessClosed(c.Conn.SetWriteDeadline(t))
}

func unlessClosed(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// bufferedConn is the server's end of a pipe with the buffer that a socket has and a pipe lacks: Write never blocks.
// Without it a client that sends a long pipeline before it reads, and miniredis, which answers before it reads on,
// would wait for each other; and a subscriber that does not read would stop a PUBLISH that holds miniredis's lock.
type bufferedConn struct {
	net.Conn

	mu     sync.Mutex
	change sync.Cond
	buf    []byte
	closed bool
}

// linger is how long Close lets the other side read what is still buffered.
const linger = time.Second

func newBufferedConn(end net.Conn) *bufferedConn {
	c := &bufferedConn{Conn: end}
	c.change.L = &c.mu
	return c
}

func (c *bufferedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	c.buf = append(c.buf, p...)
	c.change.Signal()
	return len(p), nil
}

// Close returns at once. The pipe is closed by send, after what was written before.
func (c *bufferedConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.change.Signal()
	return c.SetWriteDeadline(time.Now().Add(linger))
}

// send moves what is written to the other side until the connection is closed on either side.
func (c *bufferedConn) send() {
	defer c.Conn.Close()
	for {
		buf, ok := c.next()
		if !ok {
			return
		}
		if _, err := c.Conn.Write(buf); err != nil {
			return
		}
	}
}

// next waits for something to send. It answers false when the connection was closed and everything is sent.
func (c *bufferedConn) next() ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.buf) == 0 && !c.closed {
		c.change.Wait()
	}
	buf := c.buf
	c.buf = nil
	return buf, len(buf) > 0
}
