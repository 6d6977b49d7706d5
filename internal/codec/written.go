package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
)

// Written are the arguments of a call that somebody has written as JSON: with those members of the object added, unless that
// is nil, which they lack; one that is null is there. The error says why they mean nothing, are no object although members
// are added, or make no key of what pointers point at. A producer says so, too, but as one error of many.
func Written(text []byte, added json.RawMessage, pointers []string) (json.RawMessage, error) {
	args, err := Canonical(text)
	if err != nil {
		return nil, err
	}
	if len(added) > 0 {
		if text, err = complete(args, added); err != nil {
			return nil, err
		}
		if args, err = Canonical(text); err != nil {
			return nil, err
		}
	}
	if len(pointers) > 0 {
		if _, err := KeyPart(KeyOf(args, pointers)); err != nil {
			return nil, err
		}
	}
	return text, nil
}

// complete adds members that are absent to the object of a valid text.
func complete(args []byte, added json.RawMessage) ([]byte, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(args))
	if dec.PeekKind() != jsontext.KindBeginObject {
		return nil, errors.New("arguments: must be an object: the function's args: adds members to it")
	}
	text := bytes.TrimSuffix(args, []byte("}"))
	there := TopLevel(args)
	for name, value := range members(added) {
		if there[name] {
			continue
		}
		if len(text) > len("{") {
			text = append(text, ',')
		}
		key, err := jsontext.AppendQuote(nil, name)
		if err != nil {
			return nil, err
		}
		text = append(append(append(text, key...), ':'), value...)
	}
	return append(text, '}'), nil
}

// TopLevel are the names of the members of a valid object; none of another value.
func TopLevel(text []byte) map[string]bool {
	names := map[string]bool{}
	for name := range members(text) {
		names[name] = true
	}
	return names
}

// members yields the members of a valid object; none of another value.
func members(text []byte) iter.Seq2[string, jsontext.Value] {
	return func(yield func(string, jsontext.Value) bool) {
		dec := jsontext.NewDecoder(bytes.NewReader(text))
		if dec.PeekKind() != jsontext.KindBeginObject || !enter(dec) {
			return
		}
		for dec.PeekKind() == jsontext.KindString {
			token, err := dec.ReadToken()
			if err != nil {
				return
			}
			name := token.String()
			value, err := dec.ReadValue()
			if err != nil || !yield(name, value) {
				return
			}
		}
	}
}
