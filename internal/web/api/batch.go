package api

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/refq/refq/internal/tracing"
	"github.com/refq/refq/internal/web/server"
	"github.com/refq/refq/refcache"
)

const (
	batchAtOnce  = 64               // calls of a batch at work; no line is read while there are as many
	batchPatient = 60 * time.Second // for the next line, and for an answer to be read
)

// batchAnswer is the answer to a line of a batch: a response or a problem.
type batchAnswer struct {
	Line     int             `json:"line"` // of the request, from 1
	Status   int             `json:"status"`
	Response json.RawMessage `json:"response,omitempty"`
	Problem  json.RawMessage `json:"problem,omitempty"`
}

// batch answers POST /calls:batch: a call per line, an answer per line, each as soon as it is there. Lines are read while
// answers are written, so neither side needs memory for the whole.
func (a *API) batch(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r, "format", "wait")
	if err != nil {
		return err
	}
	format, err := format(values)
	if err != nil {
		return err
	}
	var wait time.Duration // a batch is made to be submitted: who wants to wait says so
	if values.Has("wait") {
		if wait, err = parseWait(values.Get("wait")); err != nil {
			return err
		}
	}
	rc := http.NewResponseController(w)
	if err := rc.EnableFullDuplex(); err != nil {
		return fmt.Errorf("read and write at the same time: %w", err)
	}
	ctx, cancel := server.Linger(w, r)
	defer cancel()
	// A server that stops waits for no line.
	defer context.AfterFunc(ctx, func() { _ = rc.SetReadDeadline(time.Now()) })()
	server.Allow(w, batchPatient)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	if err := rc.Flush(); err != nil { // clients that send lines only once they have an answer
		return nil // nobody is there
	}
	traced := tracing.Incoming(ctx, r.Header)
	b := batch{api: a, w: w, wait: wait, format: format, slots: make(chan struct{}, batchAtOnce), stop: cancel}
	lines := lineReader{bufio.NewReader(r.Body), a.cfg.MaxArgs + maxFraming}
	for n := 1; ; n++ {
		_ = rc.SetReadDeadline(time.Now().Add(batchPatient)) // fails if the connection has, which the reader notices
		if ctx.Err() != nil {
			b.end(n, context.Cause(ctx))
			return nil
		}
		line, err := lines.next()
		if err != nil {
			b.end(n, cmp.Or(context.Cause(ctx), err))
			return nil
		}
		if len(bytes.TrimSpace(line.text)) > 0 || line.err != nil {
			b.answer(traced, n, line)
		}
	}
}

// batch is one use of POST /calls:batch.
type batch struct {
	api    *API
	wait   time.Duration
	format refcache.Format
	slots  chan struct{}
	stop   context.CancelFunc // reads no more lines, and waits for no call
	all    sync.WaitGroup

	mu  sync.Mutex
	w   http.ResponseWriter
	err error // of writing: nobody reads any more
}

// answer sees to a line in the background, when there is a slot for it.
func (b *batch) answer(ctx context.Context, n int, line line) {
	b.slots <- struct{}{}
	b.all.Go(func() {
		defer func() { <-b.slots }()
		b.write(b.make(ctx, n, line))
	})
}

// end waits for the lines that are being seen to, and tells why no more are read, from line n on.
func (b *batch) end(n int, why error) {
	b.all.Wait()
	if errors.Is(why, io.EOF) {
		return
	}
	p := b.api.problem(fmt.Errorf("this line and what follows were not read: %w", why))
	b.write(batchAnswer{Line: n, Status: p.Status, Problem: p.JSON()})
}

// make makes the call of a line.
func (b *batch) make(ctx context.Context, n int, line line) batchAnswer {
	res, err := b.call(ctx, line)
	out := batchAnswer{Line: n, Status: http.StatusOK}
	if err == nil {
		out.Response, err = b.api.cfg.Redact.Response(res).JSON(b.format)
	}
	switch {
	case err != nil:
		p := b.api.problem(err)
		out.Status, out.Problem = p.Status, p.JSON()
	case res.Status.InFlight():
		out.Status = http.StatusAccepted
	}
	return out
}

func (b *batch) call(ctx context.Context, line line) (response, error) {
	if line.err != nil {
		return response{}, line.err
	}
	plan, err := b.api.plan(line.text, b.wait)
	if err != nil {
		return response{}, err
	}
	return b.api.make(ctx, plan)
}

// write sends an answer; answers come one at a time.
func (b *batch) write(answer batchAnswer) {
	text, err := encode(answer)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return
	}
	server.Allow(b.w, batchPatient)
	if err == nil {
		_, err = b.w.Write(text)
	}
	if err == nil {
		err = http.NewResponseController(b.w).Flush()
	}
	if b.err = err; err != nil {
		b.stop()
	}
}

// lineReader reads lines of so many bytes at most.
type lineReader struct {
	from *bufio.Reader
	most int
}

// line is a line that was read; err says that it was too long.
type line struct {
	text []byte
	err  error
}

// next returns the next line; a too long one without its text. The error is that there is none, io.EOF at the end.
func (l lineReader) next() (line, error) {
	var text []byte
	for {
		piece, err := l.from.ReadSlice('\n')
		if len(text) <= l.most {
			text = append(text, piece...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(text) == 0) {
			return line{}, err
		}
		if len(text) > l.most {
			return line{err: fmt.Errorf("%w: the line has more than %d bytes", refcache.ErrArgsTooLarge, l.most)}, nil
		}
		return line{text: text}, nil
	}
}
