package codec

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxKey is the longest key in bytes.
const maxKey = 1 << 10

// keyMark stands before a key where arguments would stand otherwise: no canonical JSON begins so.
const keyMark = '='

// KeyPart is what stands for the arguments in the ref_id of a call that has a key of its own ([NewRef]).
func KeyPart(key string) ([]byte, error) {
	switch {
	case key == "":
		return nil, errors.New("the key is empty")
	case len(key) > maxKey:
		return nil, fmt.Errorf("the key has %d bytes, more than %d", len(key), maxKey)
	case !utf8.ValidString(key):
		return nil, errors.New("the key is no valid UTF-8")
	}
	return append([]byte{keyMark}, key...), nil
}

// KeyOf is the key that some members of canonical arguments make: an array which has an array for each pointer, of the
// value there, or empty if there is none.
func KeyOf(args []byte, pointers []string) string {
	key := []byte{'['}
	for i, pointer := range pointers {
		if i > 0 {
			key = append(key, ',')
		}
		key = append(key, '[')
		key = append(key, valueAt(args, pointer)...)
		key = append(key, ']')
	}
	return string(append(key, ']'))
}

// valueAt returns the value at a JSON Pointer (RFC 6901) in a valid JSON text; nil if there is none.
func valueAt(text []byte, pointer string) []byte {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		step = unescape.Replace(step)
		found := false
		switch dec.PeekKind() {
		case jsontext.KindBeginObject:
			found = enter(dec) && seekMember(dec, step)
		case jsontext.KindBeginArray:
			found = enter(dec) && seekElement(dec, step)
		}
		if !found {
			return nil
		}
	}
	value, _ := dec.ReadValue() // the text is valid
	return value
}

// unescape reads the escapes of a JSON Pointer.
var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// enter reads the beginning of an object or array.
func enter(dec *jsontext.Decoder) bool {
	_, err := dec.ReadToken()
	return err == nil
}

// seekMember goes to the value of a member of the object that was entered.
func seekMember(dec *jsontext.Decoder, name string) bool {
	for dec.PeekKind() == jsontext.KindString {
		token, err := dec.ReadToken()
		if err != nil {
			return false
		}
		if token.String() == name {
			return true
		}
		if dec.SkipValue() != nil {
			return false
		}
	}
	return false
}

// seekElement goes to an element of the array that was entered.
func seekElement(dec *jsontext.Decoder, index string) bool {
	n, err := strconv.Atoi(index)
	if err != nil || n < 0 || strconv.Itoa(n) != index {
		return false
	}
	for ; n > 0 && dec.PeekKind() != jsontext.KindEndArray; n-- {
		if dec.SkipValue() != nil {
			return false
		}
	}
	return dec.PeekKind() != jsontext.KindEndArray
}
