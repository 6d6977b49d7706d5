package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxDepth bounds the nesting of arguments. Sorting the members of nested objects costs time in the order of depth
	// times size, so the bound keeps hostile arguments cheap; it lies beyond what many JSON parsers accept.
	maxDepth = 1000

	whiteSpace = " \t\r\n" // what JSON allows around a value
)

// Canonical returns the one form in which equal arguments are stored, hashed and handed to functions:
//   - members sorted by key, in the order of UTF-16 code units, as in RFC 8785;
//   - no white space, and strings escaped only where JSON demands it, as in RFC 8785;
//   - numbers as exact decimals: an integer of at most 40 digits as it is, any other number with one digit before the
//     point and an exponent (0.5 is 5e-1, 12.5 is 1.25e+1), zero as 0. So 1, 1.0 and 1e0 are equal, and no two
//     different numbers are.
//
// The canonical form of a canonical form is itself. What JSON leaves open is refused: duplicate keys, invalid UTF-8,
// unpaired surrogates, more than one value, nesting deeper than 1000, exponents beyond ±9999. The error says what is
// wrong and at which byte of raw, counted from 0. The result shares no memory with raw.
func Canonical(raw []byte) ([]byte, error) {
	if len(bytes.Trim(raw, whiteSpace)) == 0 {
		return nil, errors.New("arguments: empty, want one JSON value such as {}")
	}
	if at, deep := tooDeep(raw); deep {
		return nil, fmt.Errorf("arguments: nested deeper than %d at byte %d", maxDepth, at)
	}
	sorted, err := jsontext.AppendFormat(nil, raw, jsontext.ReorderRawObjects(true))
	if err != nil {
		return nil, fmt.Errorf("arguments: %w", located(err))
	}
	text, err := canonicalNumbers(sorted)
	if err != nil {
		_, err = canonicalNumbers(raw) // the same complaint, with the byte where the caller wrote the number
		return nil, fmt.Errorf("arguments: %w", err)
	}
	return text, nil
}

// tooDeep finds the first bracket of text that is nested deeper than maxDepth. The text need not be valid JSON.
func tooDeep(text []byte) (at int, found bool) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i) - 1
		case '{', '[':
			if depth++; depth > maxDepth {
				return i, true
			}
		case '}', ']':
			depth--
		}
	}
	return 0, false
}

// stringEnd returns the index behind the string that starts at text[start], or len(text) if it does not end.
func stringEnd(text []byte, start int) int {
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// located turns an error of jsontext into one that says what is wrong at which byte, without quoting the input at length.
func located(err error) error {
	syntactic, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case !ok:
		return err
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("duplicate key %.40q at byte %d", syntactic.JSONPointer.LastToken(), syntactic.ByteOffset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("unexpected end at byte %d", syntactic.ByteOffset)
	}
	return fmt.Errorf("%w at byte %d", syntactic.Err, syntactic.ByteOffset)
}
