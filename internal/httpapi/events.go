package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/refq/refq/internal/web"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

const (
	lookEvery  = 500 * time.Millisecond // while a call is in flight; its end is heard of at once
	heartbeat  = 15 * time.Second       // so that proxies and clients see that the stream lives
	retryEvery = 2000                   // ms after which a client that lost its stream asks again
)

// events answers GET /calls/{ref} as a stream of server-sent events: how the call stands now, each change, its end.
func (a *API) events(w http.ResponseWriter, r *http.Request, ref refcache.Ref, format refcache.Format) error {
	first, err := a.producer.Get(r.Context(), ref)
	if err != nil {
		return err
	}
	if first.Status.IsFinal() && r.Header.Get("Last-Event-ID") == endID(first) {
		w.WriteHeader(http.StatusNoContent) // so that browsers, which ask again after each end of a stream, stop
		return nil
	}
	ctx, cancel := web.Linger(w, r)
	defer cancel()
	s := stream{api: a, w: w, format: format}
	w.Header().Set("Content-Type", "text/event-stream")
	s.send("retry: %d\n\n", retryEvery)
	for res, err := range changes(ctx, a.producer, first) {
		switch {
		case s.err != nil || ctx.Err() != nil:
			return nil // the reader has gone, is too slow, or shall come again
		case err != nil:
			s.send("event: gone\ndata: %s\n\n", a.problem(err).JSON())
			return nil
		case res == nil:
			s.send(": still here\n\n")
		default:
			s.state(*res)
		}
	}
	return nil
}

// stream writes events.
type stream struct {
	api    *API
	w      http.ResponseWriter
	format refcache.Format
	err    error
}

// send writes a piece, and does not wait long for whoever does not read.
func (s *stream) send(format string, args ...any) {
	web.Allow(s.w, writeTimeout)
	_, s.err = fmt.Fprintf(s.w, format, args...)
	if s.err == nil {
		s.err = http.NewResponseController(s.w).Flush()
	}
}

func (s *stream) state(res response) {
	text, err := s.api.cfg.Redact.Response(res).JSON(s.format)
	if err != nil {
		s.err = err
		return
	}
	if res.Status.IsFinal() {
		s.send("event: end\nid: %s\ndata: %s\n\n", endID(res), oneLine(text))
		return
	}
	s.send("event: state\ndata: %s\n\n", oneLine(text))
}

// oneLine is JSON without line breaks, which only stand between its tokens.
func oneLine(text []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, text)
}

// endID is what the last event of a stream is known by.
func endID(res response) string {
	if res.CompletedAt == nil {
		return string(res.Status)
	}
	return fmt.Sprintf("%s-%d", res.Status, res.CompletedAt.UnixMilli())
}

// changes yields how a call stands, from first on, whenever that has changed, and nil when nothing has for a while. It
// ends with the call, with ctx, or with the error that the call cannot be found any more.
func changes(ctx context.Context, p *producer.Producer, first response) iter.Seq2[*response, error] {
	return func(yield func(*response, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		end := waitFor(ctx, p, first)
		defer func() { cancel(); <-end }()
		look, quiet := time.NewTicker(lookEvery), time.NewTimer(heartbeat)
		defer look.Stop()
		defer quiet.Stop()
		for now := first; ; {
			if !yield(&now, nil) || now.Status.IsFinal() {
				return
			}
			quiet.Reset(heartbeat)
			for seen := fingerprint(now); fingerprint(now) == seen; {
				select {
				case <-quiet.C:
					if !yield(nil, nil) {
						return
					}
					quiet.Reset(heartbeat)
				case <-look.C:
					res, err := p.Get(ctx, first.RefID)
					if errors.Is(err, refcache.ErrTaskNotFound) {
						yield(nil, err)
						return
					}
					if err == nil { // else Redis is away, or the record is of a newer refq: the end tells
						now = res
					}
				case ended := <-end:
					if ended.err != nil {
						yield(nil, ended.err)
						return
					}
					now = ended.response
				}
			}
		}
	}
}

type ending struct {
	response
	err error
}

// waitFor sends how the call ended, once; the channel is closed when nothing waits any more.
func waitFor(ctx context.Context, p *producer.Producer, first response) <-chan ending {
	end := make(chan ending, 1)
	if first.Status.IsFinal() {
		close(end)
		return end
	}
	go func() {
		defer close(end)
		end <- waitThrough(ctx, p, first.RefID)
	}()
	return end
}

// waitThrough waits for the end of a call, through outages of Redis. The error is that there will be none, or why ctx ended.
func waitThrough(ctx context.Context, p *producer.Producer, ref refcache.Ref) ending {
	for {
		res, err := p.Wait(ctx, ref)
		_, ended := errors.AsType[*refcache.TaskError](err)
		switch {
		case err == nil, ended:
			return ending{response: res}
		case ctx.Err() != nil, errors.Is(err, refcache.ErrTaskNotFound), errors.Is(err, refcache.ErrUnreadable):
			return ending{res, err}
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
		}
	}
}

// fingerprint is what of a response makes a change: not the time that is left, which always changes.
func fingerprint(res response) string {
	res.ETA = nil
	text, err := res.JSON(refcache.Full)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
