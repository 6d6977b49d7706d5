//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/refq/refq/internal/testkit/redisserver"
)

// Marks of the place in the document that the table fills.
const (
	documentBegin = "<!-- chaos -->\n"
	documentEnd   = "<!-- /chaos -->\n"
)

// document puts the table into a file, with how it came about.
func document(ctx context.Context, file string, o options, played []performance) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(text), documentBegin)
	_, after, ends := strings.Cut(rest, documentEnd)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the table: %s%s", file, documentBegin, documentEnd)
	}
	redis, err := exec.CommandContext(ctx, redisserver.Program(), "--version").Output()
	if err != nil {
		return fmt.Errorf("ask for the version of Redis: %w", err)
	}
	words := strings.Fields(string(redis))
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%s%s, seed %d: %d processors shared with others, %s/%s, %s, Redis %s%s.\n", before, documentBegin,
		time.Now().Format(time.DateOnly), o.seed, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		strings.TrimPrefix(words[2], "v="), o.connections())
	printTable(&b, played)
	fmt.Fprint(&b, documentEnd, after)
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// connections tells how scripts came to Redis.
func (t terms) connections() string {
	if t.plain {
		return ", each script over a connection of its own"
	}
	return ", scripts over a shared connection"
}
