// Command withredis runs a command with a redis-server of its own, on a free port and in memory alone, whose URL the
// command finds in REFQ_REDIS.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"github.com/refq/refq/internal/testkit/redisserver"
)

func main() {
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // the command hears it too: this ends when that has ended
	err := run(os.Args[1:])
	var ended *exec.ExitError
	if errors.As(err, &ended) { // it has said why
		os.Exit(max(1, ended.ExitCode()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "withredis:", err)
		os.Exit(1)
	}
}

func run(command []string) (err error) {
	if len(command) == 0 {
		return errors.New("name a command to run")
	}
	server, err := redisserver.Start("--save", "", "--appendonly", "no")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "REFQ_REDIS=redis://"+server.Addr)
	return cmd.Run()
}
