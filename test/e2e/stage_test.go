//go:build unix

package e2e

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
)

// stage is where the puppets of a test appear. The test sees each execution of a command, decides how long it takes and
// how it ends, and learns when the process is gone.
type stage struct {
	t        *testing.T
	listener net.Listener
	commands atomic.Int32 // executions of commands
	roles    map[string]chan *actor
}

func newStage(t *testing.T) *stage {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &stage{t: t, listener: listener, roles: map[string]chan *actor{}}
	for _, role := range []string{"command", "child", "flood"} {
		s.roles[role] = make(chan *actor, 100)
	}
	all := make(chan []*actor)
	go func() { all <- s.admit() }()
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		for _, a := range <-all {
			select {
			case <-a.gone:
			case <-time.After(soon):
				t.Errorf("%s %d outlives the test", a.Role, a.PID)
			}
			_ = a.conn.Close()
		}
	})
	return s
}

// admit lets puppets appear until the stage is closed, and returns them all.
func (s *stage) admit() (all []*actor) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return all
		}
		a := &actor{t: s.t, conn: conn, gone: make(chan struct{})}
		all = append(all, a)
		go s.watch(a)
	}
}

// watch introduces the actor to the test, and sees it go.
func (s *stage) watch(a *actor) {
	defer close(a.gone)
	in := json.NewDecoder(a.conn)
	if in.Decode(&a.hello) != nil {
		return // it was killed on its way
	}
	if a.Role == "command" {
		s.commands.Add(1)
	}
	s.roles[a.Role] <- a
	_, _ = io.Copy(io.Discard, a.conn) // nothing comes but the end
}

// next waits for the next execution of a command.
func (s *stage) next() *actor {
	s.t.Helper()
	return s.nextIn("command")
}

func (s *stage) nextIn(role string) *actor {
	s.t.Helper()
	return await(s.t, "the next "+role+" appears", s.roles[role])
}

// actor is a puppet that has appeared.
type actor struct {
	hello
	t    *testing.T
	conn net.Conn
	gone chan struct{} // closed when its process, and whoever shares its connection, is gone
}

// ref is the ref_id of the call that a command runs for.
func (a *actor) ref() refcache.Ref {
	a.t.Helper()
	for _, variable := range a.Env {
		if ref, ok := strings.CutPrefix(variable, "REFQ_REF_ID="); ok {
			return refcache.Ref(ref)
		}
	}
	require.FailNow(a.t, "the command was not told its ref_id")
	return ""
}

// do gives an order. It is not awaited.
func (a *actor) do(o order) {
	a.t.Helper()
	require.NoError(a.t, json.NewEncoder(a.conn).Encode(o))
}

// succeed ends the command with a result, in JSON, and returns when it is gone.
func (a *actor) succeed(result string) {
	a.t.Helper()
	a.do(order{Stdout: result, Exit: new(0)})
	a.isGone()
}

// fail ends the command with an exit code and what it says on stderr, and returns when it is gone.
func (a *actor) fail(code int, stderr string) {
	a.t.Helper()
	a.do(order{Stderr: stderr, Exit: &code})
	a.isGone()
}

// isGone waits until the process is gone.
func (a *actor) isGone() {
	a.t.Helper()
	await(a.t, a.Role+" is gone", a.gone)
}
