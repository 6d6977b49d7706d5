package refq

import (
	"bytes"
	"errors"
	"net"
	"syscall"
	"time"
)

// beginning returns a connection that answers for how it begins: it says why Redis has refused a handshake, and shows no
// password. go-redis may look at its socket, if it could before.
func beginning(conn net.Conn, addr string, isTLS bool) net.Conn {
	b := &beginningConn{Conn: conn, addr: addr, isTLS: isTLS}
	if inner, ok := conn.(syscall.Conn); ok {
		return socketConn{b, inner}
	}
	return b
}

// beginningConn looks at what is read first, at most the two answers to HELLO and AUTH. What comes then may hold anything
// that a user has stored, and is passed on as it is.
type beginningConn struct {
	net.Conn
	addr  string
	isTLS bool
	reads int // that brought something, up to greetings
}

const greetings = 2

// socketConn is one whose socket go-redis may look at, to see whether something has come while it was idle.
type socketConn struct {
	*beginningConn
	syscall.Conn
}

func (c *beginningConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.reads == greetings {
		return n, err
	}
	if n > 0 {
		c.reads++
		blankQuote(p[:n])
	}
	return n, named(err, c.addr)
}

func (c *beginningConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil && c.reads == 0 && c.isTLS {
		err = c.refusal(err)
	}
	return n, err
}

// lastWord is how long a refusal is waited for that has come by then, or will never.
const lastWord = 100 * time.Millisecond

// refusal returns what the server has said before it closed the connection. In TLS 1.3 it looks at the client's certificate
// when the handshake has ended for us.
func (c *beginningConn) refusal(broken error) error {
	_ = c.SetReadDeadline(time.Now().Add(lastWord)) // an error of it is one of Read
	_, err := c.Conn.Read(make([]byte, 1))
	if said := named(err, c.addr); said != err {
		return said
	}
	return broken
}

// named adds who is meant to an alert of TLS. What it returns wraps nothing: go-redis takes any error of the network for a
// reason to try again, six times six for the first command of a connection.
func named(err error, addr string) error {
	if alert, ok := errors.AsType[*net.OpError](err); ok && alert.Op == "remote error" {
		return errors.New("TLS with " + addr + ": " + err.Error())
	}
	return err
}

// blankQuote puts spaces where the answer of a server that does not know HELLO or AUTH quotes their arguments, user and
// password among them. The length stays.
func blankQuote(answer []byte) {
	if answer[0] != '-' {
		return
	}
	line, _, _ := bytes.Cut(answer, []byte("\r\n"))
	if i := bytes.Index(line, []byte(", with args beginning with:")); i >= 0 {
		copy(line[i:], bytes.Repeat([]byte(" "), len(line)-i))
	}
}
