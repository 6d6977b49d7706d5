package metrics

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/refq/refq/internal/script"
)

// ready is the answer to whether calls are taken here, with its HTTP status.
func (c Config) ready(r *http.Request) (status int, text string) {
	queue := r.URL.Query().Get("queue")
	switch {
	case c.Worker != nil && queue != "":
		return c.serves(queue)
	case c.Worker != nil:
		return c.servesAny()
	case queue != "":
		return http.StatusNotFound, "there is no worker here, which could serve a queue"
	}
	ctx, cancel := withTimeout(r.Context())
	defer cancel()
	if err := script.Reach(ctx, c.Redis); err != nil {
		return http.StatusServiceUnavailable, fmt.Sprintf("no answer from Redis: %v", err)
	}
	return http.StatusOK, "ok"
}

// serves is whether the worker serves one queue.
func (c Config) serves(queue string) (status int, text string) {
	for _, q := range c.Worker.Served() {
		switch {
		case q.Queue != queue:
		case q.Err != nil:
			return http.StatusServiceUnavailable, notServed(q.Queue, q.Node, q.Err)
		default:
			return http.StatusOK, "ok"
		}
	}
	return http.StatusNotFound, fmt.Sprintf("queue %q is none of this worker's: it serves %s", queue, strings.Join(c.Worker.Queues(), ", "))
}

// servesAny is whether the worker serves any queue, and which it does not.
func (c Config) servesAny() (status int, text string) {
	if err := c.Worker.Ready(); err != nil {
		return http.StatusServiceUnavailable, err.Error()
	}
	var lines []string
	for _, q := range c.Worker.Served() {
		if q.Err != nil {
			lines = append(lines, notServed(q.Queue, q.Node, q.Err))
		}
	}
	if lines == nil {
		return http.StatusOK, "ok"
	}
	return http.StatusOK, strings.Join(lines, "\n")
}

func notServed(queue, node string, err error) string {
	if node != "" {
		queue += " on " + node
	}
	return fmt.Sprintf("queue %s is not served: %v", queue, err)
}
