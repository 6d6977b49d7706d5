package codec

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/refq/refq/refcache"
)

// TurnOf is the turn that JSON Pointers make of canonical arguments.
func TurnOf(args []byte, fields refcache.TurnFields) refcache.Turn {
	return refcache.Turn{Key: turnWord(args, fields.Key), Share: turnWord(args, fields.Share), Ahead: fields.Ahead}
}

// turnWord is the key or the share of a call: what stands at a pointer. The values of several pointers are parted by commas, and
// in these a comma and a percent sign are escaped, so that other values make another word. What is absent or null is empty.
func turnWord(args []byte, pointers []string) string {
	if len(pointers) == 1 {
		word, _ := plainAt(args, pointers[0])
		return word
	}
	words := make([]string, len(pointers))
	for i, pointer := range pointers {
		word, _ := plainAt(args, pointer)
		words[i] = escapeWord.Replace(word)
	}
	return strings.Join(words, ",")
}

var escapeWord = strings.NewReplacer("%", "%25", ",", "%2C")

// plainAt is the value at a pointer as people write it: a text stands for itself, and any other value is JSON, without exponents
// where people would not write them. False: it is absent or null.
func plainAt(args []byte, pointer string) (plain string, ok bool) {
	value := valueAt(args, pointer)
	if value == nil || string(value) == "null" {
		return "", false
	}
	if value[0] != '"' {
		return string(Plain(value)), true
	}
	text, err := jsontext.AppendUnquote(nil, value)
	return string(text), err == nil // the arguments are valid
}
