package redact

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// lenient takes all that a result may be: commands print duplicate names and unpaired surrogates.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// rewriter copies a JSON text, but for the values that are hidden.
type rewriter struct {
	*Rules
	text []byte
	dec  *jsontext.Decoder
	out  bytes.Buffer
	done int64 // how much of text has been copied or hidden
}

func (r *Rules) rewrite(text []byte) ([]byte, error) {
	w := rewriter{Rules: r, text: text, dec: jsontext.NewDecoder(bytes.NewReader(text), lenient...)}
	for {
		err := w.step()
		if err == io.EOF {
			w.out.Write(text[w.done:])
			return w.out.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// step reads a token, or a value that is hidden.
func (w *rewriter) step() error {
	kind := w.dec.PeekKind()
	if kind == 0 || kind == '}' || kind == ']' || w.atName() { // 0: the end, or no JSON, as ReadToken tells
		_, err := w.dec.ReadToken()
		return err
	}
	if w.pointedAt() {
		value, err := w.dec.ReadValue()
		w.replace(len(value), Mask)
		return err
	}
	if kind != '"' && kind != '0' {
		_, err := w.dec.ReadToken()
		return err
	}
	value, err := w.dec.ReadValue()
	if err != nil {
		return err
	}
	plain := string(value)
	if kind == '"' {
		unquoted, _ := jsontext.AppendUnquote(nil, value) // an unpaired surrogate becomes U+FFFD
		plain = string(unquoted)
	}
	if hidden := w.Text(plain); hidden != plain {
		w.replace(len(value), hidden)
	}
	return nil
}

// atName reports whether the name of a member comes next.
func (w *rewriter) atName() bool {
	kind, read := w.dec.StackIndex(w.dec.StackDepth())
	return kind == '{' && read%2 == 0
}

// pointedAt reports whether a pointer means the value that comes next.
func (w *rewriter) pointedAt() bool {
	if len(w.pointers) == 0 {
		return false
	}
	path := w.path()
	return slices.ContainsFunc(w.pointers, func(pointer []string) bool { return matches(pointer, path) })
}

// path leads to the value that comes next.
func (w *rewriter) path() []string {
	depth := w.dec.StackDepth()
	if depth == 0 {
		return nil
	}
	var path []string
	for token := range w.dec.StackPointer().Tokens() {
		path = append(path, token)
	}
	kind, read := w.dec.StackIndex(depth)
	if kind == '[' { // the pointer is that of the element before, or of the array
		path = append(path[:depth-1], strconv.FormatInt(read, 10))
	}
	return path
}

// replace puts a string in place of the value, of so many bytes, that was just read.
func (w *rewriter) replace(size int, with string) {
	end := w.dec.InputOffset()
	w.out.Write(w.text[w.done : end-int64(size)])
	quoted, _ := jsontext.AppendQuote(nil, strings.ToValidUTF8(with, "\uFFFD"))
	w.out.Write(quoted)
	w.done = end
}
