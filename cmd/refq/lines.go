package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/refcache"
)

// lines reads arguments, one JSON value a line.
type lines struct {
	from *bufio.Reader
	most int // bytes of a line, without its end
	fn   config.Function
	room chan struct{} // taken by lines that are not answered yet

	mu      sync.Mutex
	n       int           // that were read
	wrong   map[int]error // what is wrong with lines that are not answered yet
	readErr error
}

func newLines(from io.Reader, most int, fn config.Function) *lines {
	return &lines{from: bufio.NewReaderSize(from, 64<<10), most: most, fn: fn, room: make(chan struct{}, linesAhead), wrong: map[int]error{}}
}

// read yields the lines until there are no more, or ctx ends; it waits while too many are not answered. For a bad line it
// yields a text that makes a bad call, to be answered with what bad says.
func (l *lines) read(ctx context.Context) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		texts := make(chan readLine, 128)
		go l.scan(ctx, texts) // a read that never ends, it ends with the program
		for {
			select {
			case l.room <- struct{}{}:
			case <-ctx.Done():
				return
			}
			select {
			case line, more := <-texts:
				if !more || !yield(l.note(line)) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// note counts a line and keeps what is wrong with it.
func (l *lines) note(line readLine) json.RawMessage {
	err := line.err
	if err == nil {
		line.text, err = codec.Written(line.text, l.fn.Args, l.fn.Func.KeyFields)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.wrong[l.n], line.text = err, []byte{} // nil would be null
	}
	l.n++
	return line.text
}

// count is how many lines were read.
func (l *lines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// bad is what is wrong with a line, counted from 0; nil if nothing is.
func (l *lines) bad(i int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrong[i]
}

// answered makes room for another line.
func (l *lines) answered(i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.wrong, i)
	<-l.room
}

// err is why reading ended before the end.
func (l *lines) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.readErr
}

// readLine is a line, or what is wrong with it.
type readLine struct {
	text []byte
	err  error
}

// scan hands over all lines. Of one that is too long it keeps nothing.
func (l *lines) scan(ctx context.Context, to chan<- readLine) {
	defer close(to)
	for {
		line, err := l.next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				l.mu.Lock()
				l.readErr = err
				l.mu.Unlock()
			}
			return
		}
		select {
		case to <- line:
		case <-ctx.Done():
			return
		}
	}
}

// next reads a line; io.EOF when there is none.
func (l *lines) next() (readLine, error) {
	var line readLine
	size := 0
	for {
		part, err := l.from.ReadSlice('\n')
		size += len(part)
		if size <= l.most+len("\r\n") {
			line.text = append(line.text, part...)
		} else {
			line.text = nil
			line.err = fmt.Errorf("%w: more than %d bytes; pass a reference to large data", refcache.ErrArgsTooLarge, l.most)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && size > 0: // the last line has no end
			err = nil
		}
		line.text = bytes.TrimRight(line.text, "\r\n")
		return line, err
	}
}
