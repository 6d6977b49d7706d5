// Package codec says how values become bytes, and how calls become names: Go values to JSON and back, arguments to
// their one canonical form, a call to its ref_id. All of its functions may be used concurrently.
package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// options are the rules of encoding/json, except that nothing is replaced or merged in silence.
var options = jsonv2.JoinOptions(
	jsonv1.DefaultOptionsV1(),
	jsontext.AllowDuplicateNames(false),
	jsontext.AllowInvalidUTF8(false),
	jsontext.EscapeForHTML(false),
	jsontext.EscapeForJS(false),
	// To this library, the Number of encoding/json would be any other string.
	jsonv2.WithMarshalers(jsonv2.MarshalToFunc(func(enc *jsontext.Encoder, n json.Number) error {
		return jsonv1.Number(n).MarshalJSONTo(enc)
	})),
	jsonv2.WithUnmarshalers(jsonv2.UnmarshalFromFunc(func(dec *jsontext.Decoder, n *json.Number) error {
		return (*jsonv1.Number)(n).UnmarshalJSONFrom(dec)
	})),
)

// Encode returns v as JSON by the rules of encoding/json, struct tags and MarshalJSON included, with two exceptions:
// invalid UTF-8 and duplicate keys are refused, so that different values never become the same text, and the
// characters of HTML are not escaped.
//
// A json.RawMessage passes as it was written, without outer white space: it must be one JSON value in UTF-8, but may
// have duplicate keys; nil is null. The result shares no memory with v. Arguments go through [Canonical] afterwards. v may
// be a pointer to the value: then methods with a pointer receiver are used as well.
func Encode(v any) ([]byte, error) {
	if raw, ok := rawMessage(v); ok {
		if raw == nil {
			return []byte("null"), nil
		}
		text, err := verbatim(raw)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", typeOf(v), err)
		}
		return text, nil
	}
	text, err := jsonv2.Marshal(v, options)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", typeOf(v), placed(v, err))
	}
	return text, nil
}

// Decode stores the one JSON value of data in what v points to, by the rules of encoding/json, except that duplicate
// keys (also two that match the same field but for case) and invalid UTF-8 are refused. A *json.RawMessage receives
// the value as it was written, on the terms of [Encode]. Nothing of data is retained. After an error, v may be half
// filled.
func Decode(data []byte, v any) error {
	if raw, ok := rawTarget(v); ok {
		text, err := verbatim(data)
		if err != nil {
			return fmt.Errorf("decode into %T: %w", v, err)
		}
		*raw = text
		return nil
	}
	err := jsonv2.Unmarshal(data, v, options)
	if err == nil {
		return nil
	}
	if _, syntax := jsontext.AppendFormat(nil, data); syntax != nil {
		err = located(syntax) // says the place, too
	}
	return fmt.Errorf("decode into %T: %w", v, err)
}

// UnknownMemberError says that arguments have a member that their type lacks.
type UnknownMemberError struct{ Pointer string } // a JSON Pointer

func (e *UnknownMemberError) Error() string { return fmt.Sprintf("unknown member %.100q", e.Pointer) }

// Member is the name of the member if it is at the top level; else its place.
func (e *UnknownMemberError) Member() (name string, top bool) {
	if name = strings.TrimPrefix(e.Pointer, "/"); !strings.Contains(name, "/") {
		return unescape.Replace(name), true
	}
	return e.Pointer, false
}

// DecodeKnown is Decode, but a member that v has no place for, at any depth, is an [UnknownMemberError]. Maps, interfaces
// and types with an UnmarshalJSON of their own have a place for all.
func DecodeKnown(data []byte, v any) error {
	if _, raw := rawTarget(v); raw {
		return Decode(data, v)
	}
	known := jsonv2.JoinOptions(options, jsonv2.RejectUnknownMembers(true), jsonv1.ReportErrorsWithLegacySemantics(false))
	err := jsonv2.Unmarshal(data, v, known)
	if err == nil {
		return nil
	}
	if semantic, ok := errors.AsType[*jsonv2.SemanticError](err); ok && errors.Is(semantic.Err, jsonv2.ErrUnknownName) {
		return &UnknownMemberError{string(semantic.JSONPointer)}
	}
	return Decode(data, v) // which says what else is wrong
}

// placed gives err, which encoding v ended in, the place in v if it was the text of v that was refused.
func placed(v any, err error) error {
	_, detailed := jsonv2.Marshal(v, options, jsonv1.ReportErrorsWithLegacySemantics(false))
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](detailed); ok {
		return fmt.Errorf("%w within %.100q", syntactic.Err, syntactic.JSONPointer)
	}
	return err
}

// rawMessage reports whether v is JSON already. The two types are one in newer versions of Go, so no type switch.
func rawMessage(v any) (raw []byte, ok bool) {
	if raw, ok := v.(json.RawMessage); ok {
		return raw, true
	}
	if raw, ok := v.(jsontext.Value); ok {
		return raw, true
	}
	if raw, ok := rawTarget(v); ok {
		return *raw, true
	}
	if inner, ok := v.(*any); ok && inner != nil {
		return rawMessage(*inner)
	}
	return nil, false
}

// typeOf is the type of the value that is encoded.
func typeOf(v any) string { return strings.TrimPrefix(fmt.Sprintf("%T", v), "*") }

func rawTarget(v any) (raw *[]byte, ok bool) {
	if raw, ok := v.(*json.RawMessage); ok && raw != nil {
		return (*[]byte)(raw), true
	}
	if raw, ok := v.(*jsontext.Value); ok && raw != nil {
		return (*[]byte)(raw), true
	}
	return nil, false
}

// verbatim returns a copy of the one JSON value that raw holds. It asks no more than RFC 8259 does: commands print
// duplicate keys and unpaired surrogates, and their results are stored as written.
func verbatim(raw []byte) ([]byte, error) {
	_, err := jsontext.AppendFormat(nil, raw, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, located(err)
	}
	if !utf8.Valid(raw) {
		return nil, errors.New("invalid UTF-8")
	}
	return bytes.Clone(bytes.Trim(raw, whiteSpace)), nil
}
