package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// entry is one key with its value, wherever in the document.
type entry struct {
	doc   *document
	scope string // what stands before the key in messages: "functions.thumb."
	key   string
	line  int
	node  ast.Node // never an anchor or alias; nil: nothing
}

// position is the entry's place as messages and sources name it: "config.yaml:5".
func (e entry) position() string { return fmt.Sprintf("%s:%d", e.doc.path, e.line) }

// fail says where the error, which begins with the key, was found.
func (e entry) fail(err error) error {
	return fmt.Errorf("%s: %s%w", e.position(), e.scope, err)
}

func (e entry) mustBe(want string) error {
	return e.fail(fmt.Errorf("%s is %s, must be %s", plain(e.key), e.describe(), want))
}

// unknownKey refuses the key; known are those that may stand here.
func (e entry) unknownKey(known []string) error {
	return e.refuse(fmt.Errorf("unknown key %s%s", plain(e.key), hint(e.key, known)))
}

// refuse is fail for errors about the key itself, which do not begin with it.
func (e entry) refuse(err error) error {
	if e.scope == "" {
		return e.fail(err)
	}
	return fmt.Errorf("%s: %s: %w", e.position(), strings.TrimSuffix(e.scope, "."), err)
}

func hint(key string, known []string) string {
	near := Nearest(key, known)
	switch {
	case slices.Contains(topNames(), key):
		return " (it belongs at the top level)"
	case slices.Contains(names(policyKeys), key):
		return " (it belongs to a function or to defaults)"
	case slices.Contains(identityKeys, key), slices.Contains(gatedKeys, key), slices.Contains(execKeys, key):
		return " (it belongs to a function)"
	case slices.Contains(names(gateKeys), key):
		return " (it belongs to a gate)"
	case near != "":
		return " (did you mean " + near + "?)"
	default:
		return " (known are " + strings.Join(known, ", ") + ")"
	}
}

// children returns the entries of a mapping; scope goes before their keys. No value at all is an empty mapping: that is
// what remains when all lines under a key are commented out.
func (e entry) children(scope string) ([]entry, error) {
	if e.isEmpty() {
		return nil, nil
	}
	mapping, ok := e.node.(*ast.MappingNode)
	if !ok {
		return nil, e.mustBe("a mapping of keys to values")
	}
	var list, merged []entry
	seen := map[string]int{} // by line
	for _, pair := range mapping.Values {
		child, err := e.child(scope, pair)
		if err != nil {
			return nil, err
		}
		if pair.Key.IsMergeKey() {
			more, err := child.mergedEntries(scope)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		if first, twice := seen[child.key]; twice {
			return nil, child.fail(fmt.Errorf("%s is set twice, first in line %d", plain(child.key), first))
		}
		seen[child.key] = child.line
		list = append(list, child)
	}
	for _, child := range merged {
		if _, overridden := seen[child.key]; !overridden {
			seen[child.key] = child.line
			list = append(list, child)
		}
	}
	return list, nil
}

func (e entry) child(scope string, pair *ast.MappingValueNode) (entry, error) {
	child := entry{doc: e.doc, scope: scope, line: line(pair.Key), node: e.doc.value(pair.Value)}
	key, ok := textOf(e.doc.value(pair.Key))
	if !ok && !pair.Key.IsMergeKey() {
		return child, child.refuse(errors.New("a key must be a word"))
	}
	child.key = key
	return child, nil
}

// mergedEntries returns what "<<: *name" or "<<: [*a, *b]" takes over.
func (e entry) mergedEntries(scope string) ([]entry, error) {
	sources := []ast.Node{e.node}
	if list, ok := e.node.(*ast.SequenceNode); ok {
		sources = list.Values
	}
	var all []entry
	for _, n := range sources {
		e.key, e.node = "<<", e.doc.value(n)
		more, err := e.children(scope)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// text returns the single value as it is written.
func (e entry) text(want string) (string, error) {
	text, ok := textOf(e.node)
	if !ok {
		return "", e.mustBe(want)
	}
	return text, nil
}

// texts returns the items of a list of single values.
func (e entry) texts(want string) ([]string, error) {
	list, ok := e.node.(*ast.SequenceNode)
	if !ok {
		return nil, e.mustBe(want)
	}
	texts := make([]string, len(list.Values))
	for i, n := range list.Values {
		if texts[i], ok = textOf(e.doc.value(n)); !ok {
			return nil, e.mustBe(want)
		}
	}
	return texts, nil
}

func (e entry) isList() bool {
	_, is := e.node.(*ast.SequenceNode)
	return is
}

func (e entry) isMapping() bool {
	_, is := e.node.(ast.MapNode)
	return is
}

func (e entry) isEmpty() bool {
	_, null := e.node.(*ast.NullNode)
	return null || e.node == nil
}

// describe tells a value in a few words.
func (e entry) describe() string {
	switch n := e.node.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return e.describeList(n)
	}
	if text, single := textOf(e.node); single {
		return shown(text)
	}
	return "empty"
}

func (e entry) describeList(list *ast.SequenceNode) string {
	items := make([]string, len(list.Values))
	for i, n := range list.Values {
		text, single := textOf(e.doc.value(n))
		if !single {
			return "a list of more than single values" // and maybe of secrets
		}
		items[i] = shown(text)
	}
	return cut("["+strings.Join(items, ", "), 80) + "]"
}

// textOf returns a single value as it is written, without quotes: it is the key's to say what it must be.
func textOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	default:
		return "", false
	}
}
