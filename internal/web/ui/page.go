package ui

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/monitor"
)

// page is what a handler says of the page that it makes.
type page struct {
	Title  string // of the document, and what screen readers hear first
	Live   string // what the page follows: a ref_id, liveQueues or liveGates; empty: nothing
	Notice string // a sentence on top of the page about what was just done, or why not; empty: none
	Data   any    // what the template shows

	Missing []monitor.Missing // nodes that do not answer: a band on top says what the page lacks for that
}

// frame is what templates get: the page, and what stands around it.
type frame struct {
	page
	Nav       []navItem
	Who       access.Identity
	MayChange bool // the viewer may make, retry, cancel and delete calls: offer it
	ReadOnly  bool // nobody may
	Namespace string
	Now       time.Time
}

type navItem struct {
	Path, Text string
	Here       bool // the page is one of its
}

// nav has what stands on top of all pages; a path that ends with a slash is no page of ours.
var nav = []navItem{{Path: "/", Text: "Overview"}, {Path: "/calls", Text: "Calls"}, {Path: "/functions", Text: "Functions"},
	{Path: "/gates", Text: "Gates"},
	{Path: "/queues/", Text: "Queues"}}

func (i navItem) has(urlPath string) bool {
	return urlPath == i.Path || i.Path != "/" && strings.HasPrefix(urlPath, i.Path+"/")
}

// render answers with a page. Nothing is sent if the template fails.
func (u *UI) render(w http.ResponseWriter, r *http.Request, status int, name string, p page) error {
	f := frame{page: p, Who: access.Who(r.Context()), MayChange: u.mayChange(r), ReadOnly: u.cfg.Web.ReadOnly,
		Namespace: u.cfg.Namespace, Now: time.Now()}
	for _, item := range nav {
		item.Here = item.has(r.URL.Path)
		f.Nav = append(f.Nav, item)
	}
	var text bytes.Buffer
	if err := templates[name].ExecuteTemplate(&text, "layout.html", f); err != nil {
		return fmt.Errorf("make the page %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // who is not there to read it cannot be told
	return nil
}

// partly takes from an error what a page lacks that is good for all else. What is left is why there is no page.
func partly(err error) ([]monitor.Missing, error) {
	if partial, ok := errors.AsType[*monitor.PartialError](err); ok {
		return partial.Missing, nil
	}
	return nil, err
}

// mayChange reports whether the guard would let this viewer change anything.
func (u *UI) mayChange(r *http.Request) bool {
	return !u.cfg.Web.ReadOnly && access.Who(r.Context()).Role == access.Operator
}

//go:embed html
var html embed.FS

// templates are the pages by file name, each with the layout and the parts that all may use.
var templates = parseTemplates()

func parseTemplates() map[string]*template.Template {
	common := template.Must(template.New("").Funcs(functions).ParseFS(html, "html/layout.html", "html/parts.html"))
	files, err := fs.Glob(html, "html/*.html")
	if err != nil {
		panic(err) // the pattern is malformed
	}
	all := map[string]*template.Template{}
	for _, file := range files {
		if name := path.Base(file); name != "layout.html" && name != "parts.html" {
			all[name] = template.Must(template.Must(common.Clone()).ParseFS(html, file))
		}
	}
	return all
}
