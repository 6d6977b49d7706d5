// Command refq makes, runs and inspects cached calls. See "refq help".
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

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
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		asked := time.Now()
		for range signals {
			if time.Since(asked) > oneSignal {
				os.Exit(exitOther) // whoever asks twice does not want to wait
			}
		}
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}

// oneSignal is how far apart signals are that mean the same: timeout(1) and others send one to the process and another
// to its group.
const oneSignal = 100 * time.Millisecond

// redisLog takes what go-redis would print.
type redisLog struct{}

func (redisLog) Printf(ctx context.Context, format string, v ...any) {
	slog.DebugContext(ctx, "go-redis: "+fmt.Sprintf(format, v...))
}
