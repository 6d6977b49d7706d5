package netproxy

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// conn is a client's connection and the one that it is passed on to.
type conn struct {
	proxy          *Proxy
	client, server net.Conn
	parcels        chan parcel
	closed         chan struct{}
	close          func() // may be called again

	mu         sync.Mutex
	waiting    []request // that have arrived at the server and are not answered, oldest first
	end        Fault     // how the connection ends when all of them are answered
	subscribed bool      // arrays may be messages
}

// request is a command on its way back.
type request struct {
	name  string
	fault Fault
}

// parcel is something for the client, and what happens when it has arrived.
type parcel struct {
	due   time.Time
	bytes []byte
	then  Fault // Stall, or any other fault to cut the connection
}

// inFlight is how many parcels a delay may hold up; more wait at the server.
const inFlight = 4096

const bufferSize = 64 << 10

func newConn(p *Proxy, client, server net.Conn) *conn {
	c := &conn{proxy: p, client: client, server: server, parcels: make(chan parcel, inFlight), closed: make(chan struct{})}
	c.close = sync.OnceFunc(func() {
		close(c.closed)
		_ = client.Close()
		_ = server.Close()
	})
	return c
}

// run passes on what is sent until the connection is closed on either side.
func (c *conn) run() {
	var running sync.WaitGroup
	running.Go(c.passRequests)
	running.Go(c.passReplies)
	running.Go(c.deliver)
	running.Wait()
}

// passRequests returns when the client is gone.
func (c *conn) passRequests() {
	defer c.close()
	w := bufio.NewWriterSize(c.server, bufferSize)
	r := bufio.NewReaderSize(flushing{c.client, w}, bufferSize)
	for fault := Pass; fault == Pass; {
		raw, err := appendValue(nil, r)
		if err != nil || raw[0] != '*' {
			return
		}
		cmd := words(raw)
		if len(cmd) == 0 {
			return
		}
		cmd[0] = strings.ToUpper(cmd[0])
		switch fault = c.proxy.fault(cmd); fault {
		case DropRequest, Stall:
			c.endWith(fault)
		default:
			c.expect(request{cmd[0], fault})
			if _, err := w.Write(raw); err != nil {
				return
			}
		}
	}
	_, _ = io.Copy(io.Discard, r)
}

// flushing is a reader that sends what is buffered before it waits for more.
type flushing struct {
	io.Reader
	w *bufio.Writer
}

func (f flushing) Read(p []byte) (int, error) {
	if err := f.w.Flush(); err != nil {
		return 0, err
	}
	return f.Reader.Read(p)
}

func (c *conn) expect(r request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, r)
	c.subscribed = c.subscribed || strings.HasSuffix(r.name, "SUBSCRIBE")
}

// endWith ends the connection in that way as soon as what was sent before is answered.
func (c *conn) endWith(f Fault) {
	c.mu.Lock()
	c.end = f
	idle := len(c.waiting) == 0
	c.mu.Unlock()
	if idle {
		c.send(nil, f)
	}
}

// passReplies returns when the server is gone.
func (c *conn) passReplies() {
	r := bufio.NewReaderSize(c.server, bufferSize)
	for {
		raw, err := appendValue(nil, r)
		if err != nil {
			c.send(nil, DropReply) // behind what has arrived
			return
		}
		request, answered := c.answers(raw)
		switch {
		case !answered || request.fault == Pass:
			c.send(raw, Pass)
		case request.fault == HalfReply:
			c.send(raw[:len(raw)/2], HalfReply)
		default:
			c.send(nil, request.fault)
		}
		if answered {
			c.settle()
		}
	}
}

// answers finds the request that the value answers; a message answers none. Whoever subscribes is answered by a message,
// one for each channel: the first one counts.
func (c *conn) answers(raw []byte) (r request, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	message := raw[0] == '>'
	kind := ""
	if message || c.subscribed && raw[0] == '*' {
		kind = strings.ToUpper(firstWord(raw))
		message = message || strings.HasSuffix(kind, "SUBSCRIBE") || strings.HasSuffix(kind, "MESSAGE")
	}
	if len(c.waiting) == 0 || message && c.waiting[0].name != kind {
		return request{}, false
	}
	return c.waiting[0], true
}

// settle forgets the request that was answered.
func (c *conn) settle() {
	c.mu.Lock()
	c.waiting = c.waiting[1:]
	end := c.end
	over := end != Pass && len(c.waiting) == 0
	c.mu.Unlock()
	if over {
		c.send(nil, end)
	}
}

func (c *conn) send(bytes []byte, then Fault) {
	due := time.Now().Add(time.Duration(c.proxy.delay.Load()))
	select {
	case c.parcels <- parcel{due, bytes, then}:
	case <-c.closed:
	}
}

// deliver returns when the connection is closed.
func (c *conn) deliver() {
	defer c.close()
	w := bufio.NewWriterSize(c.client, bufferSize)
	for {
		p, ok := c.next(w)
		if !ok {
			return
		}
		if _, err := w.Write(p.bytes); err != nil {
			return
		}
		switch p.then {
		case Pass:
		case Stall:
			c.stall(w)
			return
		default:
			_ = w.Flush() // it is about to be closed
			return
		}
	}
}

// next waits for the next parcel and for its time, and sends what is buffered before it waits.
func (c *conn) next(w *bufio.Writer) (p parcel, ok bool) {
	select {
	case p = <-c.parcels:
	default:
		if w.Flush() != nil {
			return parcel{}, false
		}
		select {
		case p = <-c.parcels:
		case <-c.closed:
			return parcel{}, false
		}
	}
	wait := time.Until(p.due)
	if wait <= 0 {
		return p, true
	}
	if w.Flush() != nil {
		return parcel{}, false
	}
	select {
	case <-time.After(wait):
		return p, true
	case <-c.closed:
		return parcel{}, false
	}
}

// stall sends what is buffered and nothing more.
func (c *conn) stall(w *bufio.Writer) {
	_ = w.Flush() // the client may be gone
	for {
		select {
		case <-c.parcels:
		case <-c.closed:
			return
		}
	}
}
