//go:build unix

package e2e

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// wire is a way to Redis that does not carry a certain text: a connection over which somebody wants to send it goes
// silent.
type wire struct {
	url    string
	text   string
	silent chan struct{} // closed when that has happened
	once   sync.Once
}

func newWire(t *testing.T, redis, text string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{url: "redis://" + l.Addr().String(), text: text, silent: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", strings.TrimPrefix(redis, "redis://"))
			if err != nil {
				_ = client.Close()
				continue
			}
			wg.Go(func() { w.carry(server, client) })
			wg.Go(func() { _, _ = io.Copy(client, server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return w
}

// carry passes on what the client sends up to the text, and returns when the client is gone.
func (w *wire) carry(server, client net.Conn) {
	defer server.Close()
	defer client.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if bytes.Contains(buffer[:n], []byte(w.text)) {
			w.once.Do(func() { close(w.silent) })
			_, _ = io.Copy(io.Discard, client)
			return
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}
