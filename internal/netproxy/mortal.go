package netproxy

import (
	"io"
	"net"
	"sync/atomic"
)

// mortal is a client's connection that carries so many bytes and no more.
type mortal struct {
	net.Conn
	left atomic.Int64
}

func newMortal(c net.Conn, bytes int64) *mortal {
	m := &mortal{Conn: c}
	m.left.Store(bytes)
	return m
}

// take returns how many of n bytes may still be carried.
func (m *mortal) take(n int) int {
	left := m.left.Add(-int64(n))
	return max(0, n+int(min(0, left)))
}

func (m *mortal) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	if may := m.take(n); may < n {
		_ = m.Close() // the end that it was made for
		return may, io.ErrUnexpectedEOF
	}
	return n, err
}

func (m *mortal) Write(p []byte) (int, error) {
	may := m.take(len(p))
	n, err := m.Conn.Write(p[:may])
	if err == nil && may < len(p) {
		_ = m.Close()
		err = io.ErrShortWrite
	}
	return n, err
}
