// Command refq makes, runs and inspects cached calls. See "refq help".
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
)

func main() {
	// What libraries print by themselves is for debugging.
	redis.SetLogger(redisLog{})
	slog.SetLogLoggerLevel(slog.LevelDebug)
	cobra.EnableCommandSorting = false // verbs are shown in the order of their use

	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, endings()...)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitOther) // whoever asks twice does not want to wait
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}

// endings are the signals that ask refq to end. A terminal that is closed sends SIGHUP, unless nohup has it ignored.
func endings() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// redisLog takes what go-redis would print.
type redisLog struct{}

func (redisLog) Printf(ctx context.Context, format string, v ...any) {
	slog.DebugContext(ctx, "go-redis: "+fmt.Sprintf(format, v...))
}
