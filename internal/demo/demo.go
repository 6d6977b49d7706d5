// Package demo tells what refq does, and does it meanwhile: the story of refq demo.
package demo

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/worker"
)

// Tell prints what refq does in four chapters, and does it: with an in-memory Redis, a worker and a producer in this
// process. The first chapter counts the files at paths; without any, it counts README.md. A file that cannot be counted
// is a *FileError, and nothing is printed then. When ctx ends, Tell returns its cause within a second.
func Tell(ctx context.Context, out *term.Screen, paths []string) error {
	files, err := lookAtFiles(paths)
	if err != nil {
		return err
	}
	server, err := memredis.New()
	if err != nil {
		return err
	}
	defer server.Close()
	rdb := server.Client()
	defer rdb.Close()
	p := producer.New(rdb, producer.Config{})
	defer p.Close()
	a := admin.New(rdb, admin.Config{})
	defer a.Close()
	w := worker.New(rdb, worker.Config{ShutdownTimeout: 400 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})

	s := &show{story: story{out}, p: p, a: a}
	s.handle(w)
	return whileRunning(ctx, w, func(ctx context.Context) error { return s.tell(ctx, files) })
}

// whileRunning calls do while w runs, and ends do's context if w stops early.
func whileRunning(ctx context.Context, w *worker.Worker, do func(context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	stopped := make(chan error, 1)
	go func() {
		err := w.Run(ctx)
		stop(err)
		stopped <- err
	}()
	err := do(ctx)
	stop(nil)
	if failed := <-stopped; failed != nil {
		return failed
	}
	return err
}

// show is the demo on stage.
type show struct {
	story
	p        *producer.Producer
	a        *admin.Admin
	counted  atomic.Int64 // executions of countFile
	exchange exchange
}

// handle registers the functions of all chapters.
func (s *show) handle(w *worker.Worker) {
	countFile, rateNow := s.countFile, s.exchange.rateNow
	worker.Handle(w, CountFile, countFile)
	worker.Handle(w, Charge, charge)
	worker.Handle(w, Print, printAlbum)
	worker.Handle(w, Rate, rateNow)
}

func (s *show) tell(ctx context.Context, files []File) error {
	began := time.Now()
	s.say(
		"refq makes cached calls: a call is executed once, by some worker; it is",
		"retried when it fails; and when it is made again, the cache answers.",
		"",
		"Here caller, worker and an in-memory Redis share this process. In production",
		"they run on many hosts, and the code is the same.",
	)
	for _, chapter := range []func(context.Context) error{
		func(ctx context.Context) error { return s.tellCaching(ctx, files) },
		s.tellRetries,
		s.tellProgress,
		s.tellOutage,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	s.say("", "",
		fmt.Sprintf("That was refq, in %s. To go on: refq init writes a config.yaml with a", brief(time.Since(began))),
		"sample function, a shell script; refq dev starts Redis and a worker for it.")
	return nil
}

// pause waits for d. If ctx ends first, the error is the reason.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
