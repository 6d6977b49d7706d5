package asynqmon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/refcache"
)

// change lets asynqmon change something, and tells the log.
func (h *Handler) change(v *view, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, fmt.Sprintf("read the request: %v", err), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := &answered{w, http.StatusOK}
	v.asynqmon.ServeHTTP(answer, r)
	c := access.Change{What: what(r)}
	if answer.status >= http.StatusBadRequest {
		c.Err = fmt.Errorf("asynqmon answered %d", answer.status)
	}
	for _, c.Ref = range refs(r, body) {
		access.Audit(r.Context(), h.log, c)
	}
}

// answered knows how a request was answered.
type answered struct {
	http.ResponseWriter
	status int
}

func (a *answered) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// what names a change: "asynq POST queues/default/archived_tasks:run_all".
func what(r *http.Request) string {
	const most = 300
	path := strings.TrimPrefix(r.URL.Path, Base+"/api/")
	return "asynq " + r.Method + " " + path[:min(len(path), most)]
}

var oneTask = regexp.MustCompile(`_tasks/([^/]+?)(:[a-z]+)?$`)

// refs are the tasks that a change is about; one empty, if it is about a queue.
func refs(r *http.Request, body []byte) []refcache.Ref {
	var many struct {
		IDs []string `json:"task_ids"`
	}
	if one := oneTask.FindStringSubmatch(r.URL.Path); one != nil {
		many.IDs = []string{one[1]}
	} else if json.Unmarshal(body, &many) != nil || len(many.IDs) == 0 {
		return []refcache.Ref{""}
	}
	found := make([]refcache.Ref, len(many.IDs))
	for i, id := range many.IDs {
		found[i] = refOf(id)
	}
	return found
}

// refOf is the task that a task of asynq is about; empty: it is none of refq's.
func refOf(id string) refcache.Ref {
	const hash = 32
	colon := strings.IndexByte(id, ':')
	ref, err := refcache.ParseRef(id[:min(len(id), colon+1+hash)]) // behind it is which doorbell of the task it is
	if err != nil {
		return ""
	}
	return ref
}
