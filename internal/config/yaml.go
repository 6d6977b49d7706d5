package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// document is a parsed file.
type document struct {
	path    string
	aliases map[*ast.AliasNode]ast.Node // what each stands for
}

// parse returns the whole file as an entry. Empty files are fine, second documents, tags and loose aliases are not.
func parse(path string, text []byte) (entry, error) {
	doc := &document{path, map[*ast.AliasNode]ast.Node{}}
	root := entry{doc: doc, key: "file", line: 1}
	brackets := nesting(0)
	for i, line := range bytes.Split(text, []byte("\n")) {
		if !utf8.Valid(line) {
			root.line = i + 1
			return root, root.fail(errors.New("the file is not UTF-8 text"))
		}
		if max(brackets.open(line), indentation(line)) > maxDepth {
			root.line = i + 1
			return root, root.fail(fmt.Errorf("nested deeper than %d", maxDepth))
		}
	}
	// Equal keys are ours to refuse: the parser's message would lack the names around them.
	file, err := parser.ParseBytes(bytes.TrimPrefix(text, []byte("\ufeff")), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return root, root.syntaxError(err)
	}
	documents := slices.DeleteFunc(file.Docs, isDirective)
	if len(documents) > 1 {
		root.line = beginning(documents[1])
		return root, root.fail(errors.New("a second document begins here, the file must have one"))
	}
	if len(documents) == 1 {
		root.node, err = doc.resolve(documents[0].Body)
	}
	return root, err
}

// maxDepth bounds nesting: the parser takes time in the order of its square, minutes for a hundred thousand brackets.
const maxDepth = 200

// nesting counts the brackets that are open, those in texts and comments as well.
type nesting int

// open reads on, and returns the most that were open in the line.
func (n *nesting) open(line []byte) int {
	most := *n
	for _, c := range line {
		switch c {
		case '[', '{':
			*n++
		case ']', '}':
			*n = max(0, *n-1)
		}
		most = max(most, *n)
	}
	return int(most)
}

// indentation is what a line begins with: white space, and the marks of lists and complex keys.
func indentation(line []byte) int {
	return len(line) - len(bytes.TrimLeft(line, " \t-?:"))
}

// isDirective is true for "%YAML 1.2", which the parser takes for a document.
func isDirective(d *ast.DocumentNode) bool {
	_, is := d.Body.(*ast.DirectiveNode)
	return is
}

func beginning(d *ast.DocumentNode) int {
	if d.Start != nil {
		return d.Start.Position.Line
	}
	return line(d.Body)
}

func (e entry) syntaxError(err error) error {
	if syntax, ok := errors.AsType[*yaml.SyntaxError](err); ok {
		e.line = syntax.Token.Position.Line
		err = errors.New(printable(syntax.Message))
	}
	return fmt.Errorf("%s: not valid YAML: %w", e.position(), err)
}

// printable escapes what would break the line: the parser quotes characters as they are.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// resolve notes what the aliases under n stand for.
func (d *document) resolve(n ast.Node) (ast.Node, error) {
	r := &resolver{document: d, anchors: map[string]ast.Node{}}
	ast.Walk(r, n)
	return d.value(n), r.err
}

// value sees through anchors and aliases.
func (d *document) value(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.AnchorNode:
		return d.value(n.Value)
	case *ast.AliasNode:
		return d.aliases[n]
	default:
		return n
	}
}

type resolver struct {
	*document
	anchors map[string]ast.Node
	err     error
}

// Visit is for ast.Walk.
func (r *resolver) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.AnchorNode:
		ast.Walk(r, n.Value) // before the anchor counts: so no value contains itself
		r.anchors[n.Name.GetToken().Value] = r.value(n.Value)
		return nil
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		target, known := r.anchors[name]
		if !known {
			r.fail(n, "the alias *"+printable(name)+" stands for nothing above it")
		}
		r.aliases[n] = target
		return nil
	case *ast.TagNode:
		r.fail(n, "tags are not supported: put a text in quotes instead of "+printable(n.Start.Value))
	}
	return r
}

func (r *resolver) fail(n ast.Node, message string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s:%d: %s", r.path, line(n), message)
	}
}

func line(n ast.Node) int { return n.GetToken().Position.Line }
