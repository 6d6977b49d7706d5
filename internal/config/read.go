package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/refcache"
)

// functionReader reads the entries of functions:.
type functionReader struct {
	folder string                   // of config.yaml
	all    Func                     // what defaults: says
	gates  map[string]refcache.Gate // by name
}

// execKeys may stand in an entry of functions: only; all but exec need it.
var execKeys = []string{"exec", "dir", "env", "inherit_env", "permanent_exit_codes"}

// identityKeys may stand in an entry of functions: only: they say what calls of the function are known by.
var identityKeys = []string{"version", "key", "key_conflict", "args", "tags"}

// gatedKeys may stand in an entry of functions: only.
var gatedKeys = []string{"gate", "turn"}

func (r *functionReader) readDefaults(e entry) error {
	keys, err := e.children("defaults.")
	if err != nil {
		return err
	}
	r.all.Name = "defaults" // Policy wants one
	for _, e := range keys {
		if err := setEntry(&r.all, e, policyKeys, names(policyKeys)); err != nil {
			return err
		}
	}
	if err := checked(r.all); err != nil {
		return e.fail(fmt.Errorf("%s.%w", plain(e.key), err))
	}
	return nil
}

func (r *functionReader) readFunctions(e entry) ([]Function, error) {
	entries, err := e.children("functions.")
	if err != nil {
		return nil, err
	}
	list := make([]Function, len(entries))
	for i, e := range entries {
		if list[i], err = r.readFunction(e); err != nil {
			return nil, err
		}
		if err := checkShared(list[:i+1]); err != nil {
			return nil, e.fail(fmt.Errorf("%s.%w", e.key, err))
		}
	}
	slices.SortFunc(list, func(a, b Function) int { return cmp.Compare(a.Func.Name, b.Func.Name) })
	return list, nil
}

func (r *functionReader) readFunction(e entry) (Function, error) {
	if err := refcache.CheckName(e.key); err != nil {
		return Function{}, e.refuse(err)
	}
	keys, err := e.children("functions." + e.key + ".")
	if err != nil {
		return Function{}, err
	}
	fn := Function{Func: Func{Name: e.key}}
	known := slices.Concat(identityKeys, gatedKeys, names(policyKeys), execKeys)
	for _, e := range keys {
		switch {
		case slices.Contains(execKeys, e.key):
			err = r.readExec(&fn, e)
		case slices.Contains(identityKeys, e.key):
			err = readIdentity(&fn, e)
		case slices.Contains(gatedKeys, e.key):
			err = r.readGated(&fn.Func, e)
		default:
			err = setEntry(&fn.Func, e, policyKeys, known)
		}
		if err != nil {
			return Function{}, err
		}
	}
	fn.Func = inherit(fn.Func, r.all)
	if err := checked(fn.Func); err != nil {
		return Function{}, e.fail(fmt.Errorf("%s.%w", plain(e.key), err))
	}
	return r.completeExec(fn, keys)
}

// setEntry sets the one of keys that e names. known is what the error for another name chooses from.
func setEntry(f *Func, e entry, keys []key[Func], known []string) error {
	i := slices.IndexFunc(keys, func(k key[Func]) bool { return k.name == e.key })
	if i < 0 {
		return e.unknownKey(known)
	}
	if e.key == failureAnswer && e.isMapping() {
		kinds, err := e.children(e.scope + failureAnswer + ".")
		if err != nil {
			return err
		}
		for _, kind := range kinds {
			if err := setEntry(f, kind, failureKeys, names(failureKeys)); err != nil {
				return err
			}
		}
		return nil
	}
	text, err := e.text(keys[i].want)
	if err != nil {
		return err
	}
	if err := setPolicy(f, keys[i], text); err != nil {
		return e.fail(err)
	}
	return nil
}

func readIdentity(fn *Function, e entry) (err error) {
	f := &fn.Func
	switch e.key {
	case "version":
		err = setEntry(f, e, []key[Func]{versionKey}, nil)
	case "args":
		fn.Args, err = e.object()
	case "key":
		const want = "a list of JSON Pointers like [/url, /size]"
		f.KeyFields, err = e.texts(want)
		if err == nil && len(f.KeyFields) == 0 {
			err = e.mustBe(want)
		}
	case "key_conflict":
		var text string
		text, err = e.text("join or refuse")
		f.KeyConflict = refcache.KeyConflict(text)
	case "tags":
		fn.Tags, f.Tags, err = e.tags()
	}
	return err
}

// tags reads templates of tags, and what makes tags of a call's arguments by them.
func (e entry) tags() ([]string, func(json.RawMessage) []string, error) {
	texts, err := e.texts(`a list of tags like ["user:{/user}"], or []`)
	if err != nil {
		return nil, nil, err
	}
	templates := make([]codec.TagTemplate, len(texts))
	for i, text := range texts {
		if templates[i], err = codec.ParseTag(text); err != nil {
			return nil, nil, e.fail(fmt.Errorf("%s: %w", plain(e.key), err))
		}
	}
	if err := codec.CheckTags(slices.Repeat([]string{"x"}, len(texts))); err != nil {
		return nil, nil, e.fail(fmt.Errorf("%s: %w", plain(e.key), err))
	}
	return texts, func(args json.RawMessage) []string {
		canonical, err := codec.Canonical(args)
		if err != nil {
			return nil // such a call is refused
		}
		var tags []string
		for _, t := range templates {
			if tag, ok := t.Of(canonical); ok {
				tags = append(tags, tag)
			}
		}
		return tags
	}, nil
}

func (r *functionReader) readExec(fn *Function, e entry) (err error) {
	switch e.key {
	case "exec":
		fn.Exec, err = e.command()
	case "dir":
		fn.Dir, err = e.text("a folder")
		if err == nil && fn.Dir == "" {
			err = e.mustBe("a folder")
		}
	case "env":
		fn.Env, err = e.environment()
	case "inherit_env":
		fn.InheritEnv, err = e.variables()
	case "permanent_exit_codes":
		fn.PermanentExitCodes, err = e.exitCodes()
	}
	return err
}

// completeExec fills in what the entry of a command left open, and refuses settings of a command where there is none.
func (r *functionReader) completeExec(fn Function, keys []entry) (Function, error) {
	if len(fn.Exec) == 0 {
		for _, e := range keys {
			if slices.Contains(execKeys, e.key) {
				return Function{}, e.fail(fmt.Errorf("%s has no use without exec, which names the command", e.key))
			}
		}
		return fn, nil
	}
	if !filepath.IsAbs(fn.Dir) {
		fn.Dir = filepath.Join(r.folder, fn.Dir)
	}
	if fn.PermanentExitCodes == nil {
		fn.PermanentExitCodes = []int{65} // EX_DATAERR
	}
	return fn, nil
}

func (e entry) command() ([]string, error) {
	const want = `a list of the program and its arguments like ["python3", "thumb.py"]`
	words, err := e.texts(want)
	if err == nil && (len(words) == 0 || words[0] == "") {
		err = e.mustBe(want)
	}
	return words, err
}

func (e entry) environment() (map[string]string, error) {
	variables, err := e.children(e.scope + "env.")
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for _, v := range variables {
		if noVariable(v.key) {
			return nil, v.fail(errors.New(shown(v.key) + " is no name of a variable"))
		}
		if env[v.key], err = v.text("a text"); err != nil {
			return nil, err
		}
	}
	return env, nil
}

func noVariable(name string) bool { return name == "" || strings.ContainsAny(name, "=\x00") }

func (e entry) variables() ([]string, error) {
	const want = `a list of names of variables like ["AWS_PROFILE"]`
	list, err := e.texts(want)
	if err == nil && slices.ContainsFunc(list, noVariable) {
		err = e.mustBe(want)
	}
	return list, err
}

func (e entry) exitCodes() ([]int, error) {
	const want = "a list of exit codes from 1 to 255"
	texts, err := e.texts(want)
	if err != nil {
		return nil, err
	}
	codes := make([]int, len(texts))
	for i, text := range texts {
		if codes[i], err = strconv.Atoi(text); err != nil || codes[i] < 1 || codes[i] > 255 {
			return nil, e.mustBe(want)
		}
	}
	return codes, nil
}
