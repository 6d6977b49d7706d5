package ui

import (
	"context"
	"time"
)

// fresh is something read that all viewers share while it is new, so that more viewers cost Redis no more.
type fresh[T any] struct {
	read func(context.Context) (T, error)
	keep time.Duration
	turn chan struct{} // holds one token: whoever has it owns what follows

	value T
	err   error // a *monitor.PartialError about the value, or nil
	at    time.Time
}

func newFresh[T any](keep time.Duration, read func(context.Context) (T, error)) *fresh[T] {
	f := &fresh[T]{read: read, keep: keep, turn: make(chan struct{}, 1)}
	f.turn <- struct{}{}
	return f
}

// get returns what is at most as old as it is kept, and reads it if need be, one viewer at a time. It waits for others
// until ctx ends. A *monitor.PartialError comes with a value.
func (f *fresh[T]) get(ctx context.Context) (T, error) {
	select {
	case <-f.turn:
		defer func() { f.turn <- struct{}{} }()
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
	if !f.at.IsZero() && time.Since(f.at) < f.keep {
		return f.value, f.err
	}
	value, err := f.read(ctx)
	if _, failed := partly(err); failed == nil {
		f.value, f.err, f.at = value, err, time.Now()
	}
	return value, err
}

// forget has it read anew for the next viewer, after a change that was made here.
func (f *fresh[T]) forget(ctx context.Context) {
	select {
	case <-f.turn:
		f.at = time.Time{}
		f.turn <- struct{}{}
	case <-ctx.Done():
	}
}
