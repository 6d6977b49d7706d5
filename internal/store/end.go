package store

import (
	"strconv"
	"strings"

	"github.com/refq/refq/refcache"
)

// End is what a waiter hears when a task has ended.
type End struct {
	Ref    refcache.Ref
	Whole  bool // Record and Result are known: they came along
	Record Record
	Result []byte // nil when there is none
}

// ParseEnd reads the message of a task's end. False: it is none. What is damaged or too long to have come along is not
// Whole: the record tells.
func (s *Store) ParseEnd(message string) (End, bool) {
	line, packed, _ := strings.Cut(message, "\n")
	words := strings.Fields(line)
	if len(words) != 3 {
		return End{}, false
	}
	e := End{Ref: refcache.Ref(words[0])}
	packed, ours := strings.CutPrefix(packed, format)
	if !ours {
		return e, true // too long, or of another refq
	}
	values, ok := unpackValues(packed)
	if !ok || len(values) < inRecord+2 {
		return e, true
	}
	record := append(values[:inRecord:inRecord], values[inRecord+2:]...)
	var err error
	e.Record, e.Result, err = s.recordAndResult(e.Ref, reply{record, values[inRecord], values[inRecord+1]})
	e.Whole = err == nil
	return e, true
}

// unpackValues reads values, each as its length, a colon and its bytes, or "-" for none.
func unpackValues(packed string) ([]any, bool) {
	values := make([]any, 0, inRecord+2)
	for packed != "" {
		if rest, none := strings.CutPrefix(packed, "-"); none {
			values, packed = append(values, nil), rest
			continue
		}
		digits, rest, found := strings.Cut(packed, ":")
		size, err := strconv.Atoi(digits)
		if !found || err != nil || size < 0 || size > len(rest) {
			return nil, false
		}
		values, packed = append(values, rest[:size]), rest[size:]
	}
	return values, true
}
