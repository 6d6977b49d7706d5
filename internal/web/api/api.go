// Package api is the HTTP API of refq, for producers in any language: what package producer does, as JSON. Its
// document is openapi.json.
package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/internal/web/live"
	"github.com/refq/refq/producer"
)

// Base is where the API stands.
const Base = "/api/v1"

const (
	requestTimeout = 20 * time.Second // for what does not wait: less than the server's
	writeTimeout   = 30 * time.Second // to read an answer that was waited for, and each piece of a stream
	maxFraming     = 64 << 10         // what may stand around the arguments in a request, in bytes
)

// API answers requests below [Base]. It may be used concurrently.
type API struct {
	producer *producer.Producer // makes calls
	reader   *producer.Producer // reads those of all namespaces
	admin    *admin.Admin
	actions  access.Actions
	calls    *live.Calls
	cfg      config.Config
	log      *slog.Logger
	mux      *http.ServeMux

	quick, waiting chan struct{} // requests at work, as many as there may be
}

// New returns an API that makes calls of the functions of cfg with p. It reads calls with reader, follows them with calls,
// and lists and changes them with op: what these three find, it shows. It hides what cfg.Redact says, and serves cfg.Web.MaxRequests requests at a time, and as many again that may wait: others are answered 429. The log hears of
// every change ([access.Audit]).
func New(p, reader *producer.Producer, op *admin.Admin, calls *live.Calls, cfg config.Config, log *slog.Logger) *API {
	a := &API{producer: p, reader: reader, admin: op, actions: access.NewActions(op, reader.Info, cfg.Policies(), log), calls: calls, cfg: cfg, log: log, mux: http.NewServeMux(),
		quick: make(chan struct{}, cfg.Web.MaxRequests), waiting: make(chan struct{}, cfg.Web.MaxRequests)}
	for _, r := range routes {
		method, path, _ := strings.Cut(r.pattern, " ")
		a.mux.Handle(method+" "+Base+path, a.handler(r.handle))
	}
	a.mux.Handle("/", a.handler((*API).nothingHere))
	return a
}

// route is one operation of the API.
type route struct {
	pattern string // as http.ServeMux has it, below Base
	handle  func(*API, http.ResponseWriter, *http.Request) error
}

// routes has no entry for what New adds: the answer where there is none.
var routes = []route{
	{"POST /calls", (*API).call},
	{"GET /calls", (*API).list},
	{"POST /calls:batch", (*API).batch},
	{"GET /calls/{ref}", (*API).get},
	{"DELETE /calls/{ref}", (*API).delete},
	{"GET /calls/{ref}/result", (*API).result},
	{"GET /calls/{ref}/task", (*API).task},
	{"POST /calls/{ref}/retry", (*API).retry},
	{"POST /calls/{ref}/cancel", (*API).cancel},
	{"POST /invalidations", (*API).invalidate},
	{"POST /pause", (*API).pause},
	{"POST /resume", (*API).resume},
	{"GET /pauses", (*API).pauses},
	{"GET /gates", (*API).gates},
	{"GET /gates/{queue}/{gate}", (*API).gate},
	{"PUT /gates/{queue}/{gate}", (*API).setGate},
	{"DELETE /gates/{queue}/{gate}", (*API).resetGate},
	{"GET /openapi.json", (*API).openAPI},
}

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// handler is an operation within its limits. What it returns as an error is answered as a problem, unless it has begun to
// answer already.
func (a *API) handler(handle func(*API, http.ResponseWriter, *http.Request) error) http.Handler {
	limited := access.Limit(a.operation(handle), int64(a.cfg.MaxArgs)+maxFraming, requestTimeout)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		slots := a.quick
		if mayWait(r) {
			slots = a.waiting
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			a.fail(w, r, errTooMany)
			return
		}
		if mayWait(r) {
			a.operation(handle).ServeHTTP(w, r)
		} else {
			limited.ServeHTTP(w, r)
		}
	})
}

func (a *API) operation(handle func(*API, http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := handle(a, w, r); err != nil {
			a.fail(w, r, err)
		}
	})
}

// mayWait reports whether a request may take longer than it takes to ask Redis.
func mayWait(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost:
		return r.URL.Path == Base+"/calls" || r.URL.Path == Base+"/calls:batch"
	case http.MethodGet, http.MethodHead:
		return r.URL.Query().Has("wait") || wantsEvents(r)
	}
	return false
}

func wantsEvents(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// fail answers with the problem that an error is.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := a.problem(err)
	switch p.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	case http.StatusInternalServerError:
		a.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	p.Write(w, r)
}

// nothingHere answers what no route is for.
func (a *API) nothingHere(w http.ResponseWriter, r *http.Request) error {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := a.mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return refusal("no-such-path", "Nothing here", http.StatusNotFound,
			fmt.Errorf("there is no %s: %s/openapi.json tells what there is", r.URL.Path, Base))
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return refusal("method-not-allowed", "Method not allowed", http.StatusMethodNotAllowed,
		fmt.Errorf("%s knows no %s, but %s", r.URL.Path, r.Method, strings.Join(allowed, ", ")))
}

var errTooMany = refusal("too-many-requests", "Too many requests", http.StatusTooManyRequests,
	errors.New("as many requests as this server takes at a time are at work: send it again later"))

// failure is an error that knows what clients are told of it.
type failure struct {
	access.Problem
	cause error
}

func (f *failure) Error() string { return f.cause.Error() }
func (f *failure) Unwrap() error { return f.cause }

func refusal(name, title string, status int, cause error) error {
	return &failure{access.Problem{Type: access.URN(name), Title: title, Status: status}, cause}
}
