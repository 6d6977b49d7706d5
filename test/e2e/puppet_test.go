//go:build unix

package e2e

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
)

// hello is how a puppet introduces itself.
type hello struct {
	Role  string // command, child or flood
	PID   int
	Stdin string
	Env   []string
}

// order is what a puppet is told to do, in the order of the fields.
type order struct {
	Stdout, Stderr string // to be said
	Child          bool   // to start another puppet, in the same process group
	Exit           *int   // to exit with this code
}

// roleVariable names the role of a puppet; without it the puppet is a command that a worker runs.
const roleVariable = "E2E_ROLE"

// puppet is a process that appears on the stage of a test and then does what it is told there, until the stage is gone.
func puppet(stage string) {
	conn, err := net.Dial("tcp", stage)
	must(err)
	in, err := io.ReadAll(os.Stdin)
	must(err)
	role := os.Getenv(roleVariable)
	if role == "" {
		role = "command"
	}
	must(json.NewEncoder(conn).Encode(hello{role, os.Getpid(), string(in), os.Environ()}))
	orders := json.NewDecoder(conn)
	for {
		var o order
		must(orders.Decode(&o))
		if role == "flood" {
			flood()
		}
		obey(o)
	}
}

func obey(o order) {
	_, err := io.WriteString(os.Stdout, o.Stdout)
	must(err)
	_, err = io.WriteString(os.Stderr, o.Stderr)
	must(err)
	if o.Child {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleVariable+"=child")
		must(cmd.Start())
	}
	if o.Exit != nil {
		os.Exit(*o.Exit)
	}
}

// must ends the puppet: somebody reads its stderr.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
