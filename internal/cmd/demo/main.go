// Command demo tells the story of refq demo. It links nothing else of refq's program, so that it is built sooner.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9/logging"

	"github.com/refq/refq/internal/demo"
	"github.com/refq/refq/internal/term"
)

// Exit codes, which are those of refq demo.
const (
	exitDone  = 0
	exitOther = 1
	exitUsage = 2
)

func main() {
	logging.Disable() // what go-redis prints by itself would stand in the middle of the story

	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitOther) // whoever asks twice does not want to wait
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.LookupEnv))
}

const usage = `Show what refq does, in half a minute: cached calls on files of yours (default
README.md), retries, progress, and a service that is down.

Usage:
  demo [FILE…]
`

// run tells the story and returns the exit code. Errors go to stderr, each as one line. env is like os.LookupEnv.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, env func(string) (string, bool)) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error says it
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err = io.WriteString(stdout, usage)
	case err != nil:
		complain(stderr, err)
		return exitUsage
	default:
		err = demo.Tell(ctx, term.NewScreen(stdout, env), flags.Args())
	}
	return exitCode(ctx, stderr, err)
}

// exitCode says what went wrong, and how to exit.
func exitCode(ctx context.Context, stderr io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	if wrong, ok := errors.AsType[*demo.FileError](err); ok {
		complain(stderr, wrong)
		return exitUsage
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	complain(stderr, err)
	return exitOther
}

func complain(stderr io.Writer, err error) {
	fmt.Fprintln(stderr, "refq: "+term.OneLine(err.Error()))
}
