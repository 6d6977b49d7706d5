package script

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// leaveFor is how long what is under way on a connection may still be answered, after another answer has said that the
// connection leads to the wrong place. To cut it off at once would leave open whether it has run.
const leaveFor = 2 * time.Second

// Dialer dials for a client of one server, and knows which connections it has made: an address may lead to another server
// later, when a failover repoints it, and what was dialled before goes on leading to the first.
type Dialer struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu      sync.Mutex
	open    map[*connection]struct{}
	leaving bool // connections are to be closed soon
}

// NewDialer returns a Dialer that dials with dial.
func NewDialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *Dialer {
	return &Dialer{dial: dial, open: map[*connection]struct{}{}}
}

// NewClient returns a client whose connections d makes. New(client) leaves those that lead to the wrong place.
func (d *Dialer) NewClient(o *redis.Options) *redis.Client {
	o.Dialer = d.Dial
	rdb := redis.NewClient(o)
	dialers.Of(rdb, d)
	return rdb
}

// dialers has the Dialer of each client that NewClient made. Others dial in another way.
var dialers Beside[redis.Client, *Dialer]

// Dial connects to an address.
func (d *Dialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	dialled := time.Now()
	inner, err := d.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: inner, dialer: d, dialled: dialled}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[c] = struct{}{}
	return c, nil
}

// leave has the pool give out no connection any more that was dialled before a time, and closes them when what is under way
// on them has had its time. Until then it does no more: what has been dialled since is not to blame for their answers.
func (d *Dialer) leave(before time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaving {
		return
	}
	var old []*connection
	for c := range d.open {
		if c.dialled.Before(before) {
			c.left = true
			old = append(old, c)
		}
	}
	d.leaving = true
	time.AfterFunc(leaveFor, func() {
		for _, c := range old {
			_ = c.Close()
		}
		d.mu.Lock()
		d.leaving = false
		d.mu.Unlock()
	})
}

// connection is one that a Dialer made.
type connection struct {
	net.Conn
	dialer  *Dialer
	dialled time.Time
	left    bool // it leads to the wrong place; guarded by the dialer's mu
}

func (c *connection) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.open, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}

var errLeft = errors.New("the connection leads to the wrong server")

// SyscallConn is asked by go-redis for what has come on an idle connection, before it uses it again: it drops one that
// answers with an error.
func (c *connection) SyscallConn() (syscall.RawConn, error) {
	c.dialer.mu.Lock()
	left := c.left
	c.dialer.mu.Unlock()
	if left {
		return nil, errLeft
	}
	if inner, ok := c.Conn.(syscall.Conn); ok {
		return inner.SyscallConn()
	}
	return unseen{}, nil
}

// unseen is a connection into which nobody looks: what has come on one with TLS may be none of Redis's.
type unseen struct{}

func (unseen) Control(func(uintptr)) error    { return nil }
func (unseen) Read(func(uintptr) bool) error  { return nil }
func (unseen) Write(func(uintptr) bool) error { return nil }
