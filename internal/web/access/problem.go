package access

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Problem is an error as a client gets it.
type Problem struct {
	Type   string `json:"type"`   // a URN that never changes its meaning; what programs go by
	Title  string `json:"title"`  // the same for all problems of a Type
	Status int    `json:"status"` // the HTTP status code
	Detail string `json:"detail"` // what happened this time, and what to do
}

// URN is the Type of a Problem with that name, such as "task-not-found".
func URN(name string) string { return "urn:refq:problem:" + name }

// Write answers r with the problem: as JSON, or as a sentence if r is a browser's that asks for a page.
func (p Problem) Write(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(p.Status)
		fmt.Fprintf(w, "%s: %s\n", p.Title, p.Detail) // who is not there to read it cannot be told
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	w.Write(append(p.JSON(), '\n'))
}

// JSON is the problem as one line.
func (p Problem) JSON() []byte {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // three strings and a number
	}
	return text
}
