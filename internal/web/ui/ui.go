// Package ui is refq's pages for people, made on the server: what package producer knows and does, as HTML. Every page
// works without JavaScript. The one script shows times in the viewer's zone, copies, and keeps pages live.
//
// A page is a method of [UI] in a file of its own, a line of routes, and a template in html/ that defines "main":
//
//	func (u *UI) things(w http.ResponseWriter, r *http.Request) error {
//		…
//		return u.render(w, r, http.StatusOK, "things.html", page{Title: "Things", Live: liveQueues, Data: things})
//	}
//
// An error that it returns becomes a page, too. A page that sets Live follows what happens: the browser listens at /live,
// hears that something has changed, fetches the page again, and changes what differs in its <main> in place, so that
// focus, selection, what was typed and opened <details> stay. Live is a ref_id, or [liveQueues] for all
// there is, or [liveGates] for that and how gates stand. Elements
// that come and go in lists should have an id, by which they are told apart; one with data-keep is left as it is. What moves
// by itself needs no update: <time data-until> counts down, <time data-since> up.
//
// All that calls, their authors or their errors said is hidden by the rules of config first: what a page shows of a call
// goes through u.cfg.Redact.
package ui

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/internal/web/live"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/producer"
)

const (
	requestTimeout = 20 * time.Second // less than the server's
	maxFraming     = 64 << 10         // what may stand around the arguments in a form, in bytes
)

// UI answers requests for pages. It may be used concurrently.
type UI struct {
	producer *producer.Producer
	admin    *admin.Admin
	actions  access.Actions
	cfg      config.Config
	log      *slog.Logger
	mux      *http.ServeMux
	slots    chan struct{} // requests at work, as many as there may be
	viewers  chan struct{} // pages that are live, as many as there may be

	facts          *fresh[facts]
	health         *fresh[monitor.Health]
	followed       *live.Calls
	gates          *fresh[[]monitor.GateState]
	followedQueues *live.Shared[string, string] // by liveQueues or liveGates
}

// New returns pages about the calls that a and reader find, and about the functions of cfg, which p calls; calls are
// followed for all who look at them. The pages hide what cfg.Redact says, and offer no changes if cfg.Web.ReadOnly; cfg.Web.MaxRequests are made at a time, and as many are kept
// live. The log hears of every change ([access.Audit]).
//
// Who asks is told by a [access.Guard] in front of it, which also refuses what may not be asked: without one, nobody is
// offered changes.
func New(p, reader *producer.Producer, a *admin.Admin, calls *live.Calls, cfg config.Config, log *slog.Logger) *UI {
	u := &UI{producer: p, admin: a, actions: access.NewActions(a, reader.Info, cfg.Policies(), log), cfg: cfg, log: log, mux: http.NewServeMux(), followed: calls,
		slots: make(chan struct{}, cfg.Web.MaxRequests), viewers: make(chan struct{}, cfg.Web.MaxRequests)}
	u.facts, u.health = newFresh(keepFacts, u.readFacts), newFresh(keepHealth, a.Health)
	u.gates = newFresh(keepFacts, u.readGates)
	u.followedQueues = live.NewShared(u.followQueues)
	for _, r := range routes {
		u.mux.Handle(r.pattern, u.handler(r.handle))
	}
	u.mux.HandleFunc("GET /live", u.live)
	u.mux.HandleFunc("GET /static/{file}", serveStatic)
	u.mux.Handle("/", u.handler((*UI).nothingHere))
	return u
}

// route is a page, or something that pages do.
type route struct {
	pattern string // as http.ServeMux has it
	handle  func(*UI, http.ResponseWriter, *http.Request) error
}

var routes = []route{
	{"GET /{$}", (*UI).overview},
	{"GET /functions", (*UI).functions},
	{"GET /functions/{name}", (*UI).function},
	{"POST /functions/{name}", (*UI).makeCall},
	{"POST /pause", (*UI).pause},
	{"POST /resume", (*UI).resume},
	{"GET /gates", (*UI).gatesPage},
	{"GET /gates/{queue}/{gate}", (*UI).gate},
	{"POST /gates/{queue}/{gate}/set", (*UI).setGate},
	{"POST /gates/{queue}/{gate}/reset", (*UI).resetGate},
	{"GET /calls", (*UI).calls},
	{"GET /calls/retry", (*UI).askRetry},
	{"POST /calls/retry", (*UI).retryAll},
	{"GET /calls/cancel", (*UI).askCancel},
	{"POST /calls/cancel", (*UI).cancelAll},
	{"GET /calls/{ref}", (*UI).showCall},
	{"GET /calls/{ref}/args", (*UI).args},
	{"GET /calls/{ref}/result", (*UI).result},
	{"POST /calls/{ref}/retry", (*UI).retry},
	{"POST /calls/{ref}/refresh", (*UI).refresh},
	{"POST /calls/{ref}/cancel", (*UI).cancel},
	{"POST /calls/{ref}/delete", (*UI).delete},
}

// ServeHTTP answers a request.
func (u *UI) ServeHTTP(w http.ResponseWriter, r *http.Request) { u.mux.ServeHTTP(w, r) }

// handler makes a page within its limits. What it returns as an error is shown as a page.
func (u *UI) handler(handle func(*UI, http.ResponseWriter, *http.Request) error) http.Handler {
	made := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := handle(u, w, r); err != nil {
			u.fail(w, r, err)
		}
	})
	// What a form sends is up to three times as long as what was typed.
	limited := access.Limit(made, 3*int64(u.cfg.MaxArgs)+maxFraming, requestTimeout)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		select {
		case u.slots <- struct{}{}:
			defer func() { <-u.slots }()
			limited.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			u.fail(w, r, errTooMany)
		}
	})
}
