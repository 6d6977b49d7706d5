package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// functionData is what the page of a function shows.
type functionData struct {
	functionSummary
	Declared bool
	Key      []string // what calls are known by; nil: their arguments
	Tags     []string // nil: calls look at no invalidations
	Backoff  backoff
	Form     callForm
	Others   []functionSummary // of an undeclared one: where it is known, if that is more than one queue
	Calls    string            // the path to its calls
	Failed   string            // to its failed calls
	Pause    pausePart
}

// callForm is a call as somebody types it.
type callForm struct {
	Args        string
	RetryFailed bool
	Refresh     bool
	Wrong       string // what is wrong with Args; empty: nothing is
}

// function answers GET /functions/{name}. The parameter args is what the form begins with.
func (u *UI) function(w http.ResponseWriter, r *http.Request) error {
	args := r.URL.Query().Get("args")
	if args == "" {
		args = "{}"
	}
	return u.functionPage(w, r, http.StatusOK, callForm{Args: args})
}

func (u *UI) functionPage(w http.ResponseWriter, r *http.Request, status int, form callForm) error {
	f, health, missing, err := u.look(r)
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	data := functionData{Form: form}
	if fn, unknown := u.cfg.Function(name); unknown == nil {
		data.Declared, data.Key, data.Tags = true, fn.Func.KeyFields, fn.Tags
		data.functionSummary = u.declared(fn, f, health)
		data.Backoff = newBackoff(data.Policy)
	} else {
		for _, s := range u.undeclared(f, health) {
			if s.Policy.Name == name {
				data.Others = append(data.Others, s)
			}
		}
		if data.Others == nil {
			return &refusal{http.StatusNotFound, "Unknown function", unknown}
		}
		data.functionSummary = data.Others[0]
	}
	data.Calls, data.Failed = callsPath("func", name), callsPath("func", name, "status", string(refcache.Failed))
	data.Pause = u.pausePart(r, admin.Target{Func: name}, f.pauses)
	return u.render(w, r, status, "function.html", page{Missing: missing, Title: name, Live: liveQueues, Notice: said(r, refcache.TaskInfo{}), Data: data})
}

// makeCall answers POST /functions/{name}: it makes a call, and goes to its page.
func (u *UI) makeCall(w http.ResponseWriter, r *http.Request) error {
	if err := u.checkOperator(r); err != nil {
		return err
	}
	fn, err := u.cfg.Function(r.PathValue("name"))
	if err != nil {
		return &refusal{http.StatusNotFound, "Unknown function", err}
	}
	if err := r.ParseForm(); err != nil {
		return unreadableForm(err)
	}
	form := callForm{Args: strings.ReplaceAll(r.PostForm.Get("args"), "\r\n", "\n"), RetryFailed: r.PostForm.Has("retry_failed"), Refresh: r.PostForm.Has("refresh")}
	args, err := u.arguments(fn, form.Args)
	if err != nil {
		form.Wrong = u.cfg.Redact.Text(err.Error())
		return u.functionPage(w, r, http.StatusUnprocessableEntity, form)
	}
	ref, err := u.call(r, fn, args, form)
	if err != nil {
		return err
	}
	http.Redirect(w, r, callPath(ref), http.StatusSeeOther)
	return nil
}

// call makes a call without waiting for it, and tells the log. That no worker could be told of it is no error: a sweep
// finds it.
func (u *UI) call(r *http.Request, fn config.Function, args json.RawMessage, form callForm) (refcache.Ref, error) {
	var options []producer.CallOption
	if form.RetryFailed {
		options = append(options, producer.RetryFailed())
	}
	if form.Refresh {
		options = append(options, producer.Refresh())
	}
	f := fn.Func
	f.AsyncTimeout = -1
	res, err := producer.Call(r.Context(), u.producer, f, args, options...)
	if _, ended := errors.AsType[*refcache.TaskError](err); ended || errors.Is(err, refcache.ErrNotQueued) {
		err = nil
	}
	access.Audit(r.Context(), u.log, access.Change{What: "call", Ref: res.RefID, To: string(res.Status), Err: err})
	return res.RefID, err
}

// checkOperator refuses those who may only look: also where no guard has.
func (u *UI) checkOperator(r *http.Request) error {
	if u.mayChange(r) {
		return nil
	}
	return &refusal{http.StatusForbidden, "Not allowed", errors.New("you may look at calls here, but not make or change any")}
}

func unreadableForm(err error) error {
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		return &refusal{http.StatusRequestEntityTooLarge, "Arguments too large", refcache.ErrArgsTooLarge}
	}
	return &refusal{http.StatusBadRequest, "Unreadable form", err}
}

// arguments are those of a call that somebody has typed. The error says what is wrong with them, and where.
func (u *UI) arguments(fn config.Function, text string) (json.RawMessage, error) {
	if len(text) > u.cfg.MaxArgs {
		return nil, fmt.Errorf("%s bytes are more than max_args of config.yaml, which is %s: pass a reference to large data",
			count(int64(len(text))), count(int64(u.cfg.MaxArgs)))
	}
	var value json.RawMessage
	if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal([]byte(text), &value)); ok && strings.TrimSpace(text) != "" {
		before := []byte(text)[:max(0, syntax.Offset-1)]
		line := bytes.Count(before, []byte("\n")) + 1
		column := len([]rune(string(before[bytes.LastIndexByte(before, '\n')+1:]))) + 1
		return nil, fmt.Errorf("line %d, column %d: %w", line, column, syntax)
	}
	in, err := codec.Written([]byte(text), fn.Args, fn.Func.KeyFields)
	if err != nil {
		return nil, err
	}
	return in, fn.CheckTags(in)
}
