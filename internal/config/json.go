package config

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// object is a mapping as JSON.
func (e entry) object() (json.RawMessage, error) {
	members, err := e.children(e.scope + e.key + ".")
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(members))
	for i, m := range members {
		value, err := m.json()
		if err != nil {
			return nil, err
		}
		texts[i] = quoted(m.key) + ":" + string(value)
	}
	return json.RawMessage("{" + strings.Join(texts, ",") + "}"), nil
}

// json is the value as JSON. Numbers stay as they are written.
func (e entry) json() (json.RawMessage, error) {
	if e.isEmpty() {
		return json.RawMessage("null"), nil
	}
	switch n := e.node.(type) {
	case *ast.MappingNode:
		return e.object()
	case *ast.SequenceNode:
		return e.array(n)
	case *ast.BoolNode:
		return json.RawMessage(fmt.Sprint(n.Value)), nil
	case *ast.LiteralNode:
		return json.RawMessage(quoted(n.Value.Value)), nil
	case *ast.StringNode:
		if n.GetToken().Type != token.StringType || !isNumber(n.Value) { // the parser takes long numbers for texts
			return json.RawMessage(quoted(n.Value)), nil
		}
	}
	text, _ := textOf(e.node)
	if !isNumber(text) {
		return nil, e.mustBe("a value as JSON has them, such as 12, 0.5 or a text in quotes")
	}
	return json.RawMessage(text), nil
}

func (e entry) array(list *ast.SequenceNode) (json.RawMessage, error) {
	texts := make([]string, len(list.Values))
	for i, item := range list.Values {
		child := entry{doc: e.doc, scope: e.scope + e.key + ".", key: fmt.Sprint(i), line: line(item), node: e.doc.value(item)}
		value, err := child.json()
		if err != nil {
			return nil, err
		}
		texts[i] = string(value)
	}
	return json.RawMessage("[" + strings.Join(texts, ",") + "]"), nil
}

// isNumber reports whether a text is a number as JSON has them.
func isNumber(text string) bool {
	return strings.Trim(text, "-0123456789.eE+") == "" && json.Valid([]byte(text))
}

// quoted is a text as JSON: the file is UTF-8.
func quoted(text string) string {
	value, _ := json.Marshal(text)
	return string(value)
}
