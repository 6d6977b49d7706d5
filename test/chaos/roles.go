//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/refq/refq"

	"github.com/refq/refq/worker"
)

// Roles of the processes that the director starts: this same program with roleVariable set.
const (
	roleVariable  = "REFQ_CHAOS_ROLE"
	briefVariable = "REFQ_CHAOS_BRIEF"
	workerRole    = "worker"
	producerRole  = "producer"
)

// brief is what a process is told at its start.
type brief struct {
	Redis  string // URL
	Dir    string
	Policy policy

	Concurrency     int // of a worker
	ShutdownTimeout time.Duration
	Beside          []policy // further functions of a worker

	Load load // of a producer
}

// play is main for a process with a role. The end of ctx is a request to stop.
func play(ctx context.Context, role string) error {
	var b brief
	if err := json.Unmarshal([]byte(os.Getenv(briefVariable)), &b); err != nil {
		return fmt.Errorf("brief: %w", err)
	}
	j, err := openJournal(b.Dir, role)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // which is open for as long as the director lives
		os.Exit(1)
	}()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if role == workerRole {
		return work(ctx, b, j)
	}
	return produce(ctx, b, j)
}

func work(ctx context.Context, b brief, j *journal) error {
	rdb, err := refq.Connect(b.Redis)
	if err != nil {
		return err
	}
	defer rdb.Close()
	w := worker.New(rdb, worker.Config{Concurrency: b.Concurrency, ShutdownTimeout: b.ShutdownTimeout})
	for _, p := range append(b.Beside, b.Policy) {
		worker.Handle(w, p.function(), doer{b.Dir, j}.do)
	}
	go func() {
		for range time.Tick(time.Second) {
			j.write(line{Kind: vitals, Count: runtime.NumGoroutine()})
		}
	}()
	return w.Run(ctx)
}
