//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/refq/refq/internal/testkit/redisserver"
	"github.com/refq/refq/test/document"
)

// writeInto puts the table into a file, with how it came about.
func writeInto(ctx context.Context, file string, o options, played []performance) error {
	redis, err := exec.CommandContext(ctx, redisserver.Program(), "--version").Output()
	if err != nil {
		return fmt.Errorf("ask for the version of Redis: %w", err)
	}
	words := strings.Fields(string(redis))
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, seed %d: %d processors shared with others, %s/%s, %s, Redis %s%s.\n",
		time.Now().Format(time.DateOnly), o.seed, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		strings.TrimPrefix(words[2], "v="), o.connections())
	printTable(&b, played)
	return document.Fill(file, "chaos", b.String())
}

// connections tells how scripts came to Redis.
func (t terms) connections() string {
	if t.plain {
		return ", each script over a connection of its own"
	}
	return ", scripts over a shared connection"
}
