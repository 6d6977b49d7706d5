// Package asynqmon embeds asynqmon, the web UI of asynq, for people who want to see the doorbells of refq's tasks as asynq
// has them. It shows; what is done to tasks is done elsewhere, unless it is asked for.
package asynqmon

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/web/access"
)

// Base is where asynqmon stands.
const Base = "/queues"

const (
	atOnce         = 16               // requests that ask Redis: pages poll, and asynq's questions cost more than ours
	requestTimeout = 20 * time.Second // less than the server's
	maxBody        = 1 << 20          // bytes; the ids of what is ticked
)

// Handler answers requests below [Base]. It may be used concurrently.
type Handler struct {
	reading, writing *view // writing is nil unless it was asked for
	log              *slog.Logger
	slots            chan struct{}
}

// New returns a Handler that shows what asynq has in rdb, which the caller closes afterwards. What a knows of a task is
// shown in place of its payload, without what cfg.Redact hides. With cfg.Web.QueuesWrite operators may use the buttons
// of asynqmon; the log hears of it ([access.Audit]). The client of a Cluster gets a hook, for as long as it is open.
func New(a *admin.Admin, rdb redis.UniversalClient, cfg config.Config, log *slog.Logger) *Handler {
	shown := newPayloads(a, cfg.Redact)
	o := asynqmon.Options{RootPath: Base, RedisConnOpt: share(rdb), PayloadFormatter: shown, ResultFormatter: shown, ReadOnly: true}
	h := &Handler{reading: newView(o), log: log, slots: make(chan struct{}, atOnce)}
	if cfg.Web.QueuesWrite && !cfg.Web.ReadOnly {
		o.ReadOnly = false
		h.writing = newView(o)
	}
	return h
}

// view is asynqmon with or without its buttons.
type view struct {
	asynqmon http.Handler
	index    *index
}

func newView(o asynqmon.Options) *view {
	h := asynqmon.New(o) // never closed: its clients are ours
	return &view{h, newIndex(h)}
}

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := h.reading
	if h.writing != nil && access.Who(r.Context()).Role == access.Operator {
		v = h.writing
	}
	switch {
	case strings.HasPrefix(r.URL.Path, Base+"/api/"):
		access.Limit(h.api(v), maxBody, requestTimeout).ServeHTTP(w, r)
	case strings.HasPrefix(r.URL.Path, Base+"/static/"):
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable") // names have hashes
		v.asynqmon.ServeHTTP(w, r)
	case isAsset(r.URL.Path):
		v.asynqmon.ServeHTTP(w, r)
	default: // a page: its script finds out which
		v.index.ServeHTTP(w, r)
	}
}

// isAsset reports whether a path is that of a file beside the index: pages have no dot in a name that has no directory.
func isAsset(path string) bool {
	name := strings.TrimPrefix(path, Base+"/")
	return strings.Contains(name, ".") && !strings.Contains(name, "/")
}

// api is what the pages ask for, a few at a time.
func (h *Handler) api(v *view) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "many others look at the queues just now: this page tries again", http.StatusTooManyRequests)
			return
		}
		if r.Method == http.MethodGet || v != h.writing {
			v.asynqmon.ServeHTTP(w, r)
			return
		}
		h.change(v, w, r)
	})
}
