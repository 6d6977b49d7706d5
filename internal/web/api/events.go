package api

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/refq/refq/internal/web/live"
	"github.com/refq/refq/internal/web/server"
	"github.com/refq/refq/refcache"
)

// events answers GET /calls/{ref} as a stream of server-sent events: how the call stands now, each change, its end.
func (a *API) events(w http.ResponseWriter, r *http.Request, ref refcache.Ref, format refcache.Format) error {
	viewer := a.calls.Watch(ref) // before the first look, so that nothing is missed
	defer viewer.Leave()
	viewer.Skip()
	first, err := a.reader.Get(r.Context(), ref)
	if err != nil {
		return err
	}
	if first.Status.IsFinal() && r.Header.Get("Last-Event-ID") == endID(first) {
		w.WriteHeader(http.StatusNoContent) // so that browsers, which ask again after each end of a stream, stop
		return nil
	}
	ctx, cancel := server.Linger(w, r)
	defer cancel()
	out := server.OpenEvents(w)
	for now := (live.Call{Response: first}); ; {
		if now.Err != nil {
			out.Send("event: gone\ndata: %s\n\n", a.problem(now.Err).JSON())
			return nil
		}
		if err := a.tell(out, now.Response, format); err != nil || now.Status.IsFinal() {
			return err
		}
		for told := now; told.Same(now); {
			var ok bool
			if now, ok = server.Await(ctx, out, viewer.Next); !ok {
				return nil
			}
		}
	}
}

func (a *API) tell(out *server.Events, res response, format refcache.Format) error {
	text, err := a.cfg.Redact.Response(res).JSON(format)
	switch {
	case err != nil:
		return err
	case res.Status.IsFinal():
		out.Send("event: end\nid: %s\ndata: %s\n\n", endID(res), oneLine(text))
	default:
		out.Send("event: state\ndata: %s\n\n", oneLine(text))
	}
	return nil
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
