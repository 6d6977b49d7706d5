package netproxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// maxLength is the longest string that Redis takes.
const maxLength = 512 << 20

// appendValue reads one value of RESP2 or RESP3, however deep, and appends it to buf as it came.
func appendValue(buf []byte, r *bufio.Reader) ([]byte, error) {
	start := len(buf)
	buf, err := appendLine(buf, r)
	if err != nil {
		return buf, err
	}
	kind, n := buf[start], 0
	if bytes.IndexByte([]byte("$=!*~>%"), kind) >= 0 {
		if n, err = length(buf[start:]); err != nil {
			return buf, err
		}
	}
	switch kind {
	case '$', '=', '!':
		return appendString(buf, r, n)
	case '*', '~', '>':
		return appendValues(buf, r, n)
	case '%':
		return appendValues(buf, r, 2*n)
	case '+', '-', ':', '_', ',', '#', '(':
		return buf, nil
	default:
		return buf, fmt.Errorf("not RESP: a value begins with %q", kind)
	}
}

func appendValues(buf []byte, r *bufio.Reader, n int) (_ []byte, err error) {
	for range n {
		if buf, err = appendValue(buf, r); err != nil {
			return buf, err
		}
	}
	return buf, nil
}

func appendLine(buf []byte, r *bufio.Reader) ([]byte, error) {
	for {
		part, err := r.ReadSlice('\n')
		buf = append(buf, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return buf, err
		}
	}
}

// appendString reads a string of n bytes and its end of line; one of -1 is null, and has none.
func appendString(buf []byte, r *bufio.Reader, n int) ([]byte, error) {
	if n < 0 {
		return buf, nil
	}
	start, end := len(buf), len(buf)+n+2
	buf = slices.Grow(buf, n+2)[:end]
	_, err := io.ReadFull(r, buf[start:])
	return buf, err
}

// length reads the number in the first line of raw, behind its kind.
func length(raw []byte) (int, error) {
	digits, _, _ := bytes.Cut(raw[1:], []byte("\r\n"))
	n, err := strconv.Atoi(string(digits))
	if err != nil || n < -1 || n > maxLength {
		return 0, fmt.Errorf("not RESP: length %q", digits)
	}
	return n, nil
}

// words are the strings of an array of strings that appendValue has read, up to anything else in it.
func words(raw []byte) (words []string) {
	for word, rest := nextWord(raw); rest != nil; word, rest = nextWord(rest) {
		words = append(words, word)
	}
	return words
}

// firstWord is the string that an array begins with, or "".
func firstWord(raw []byte) string {
	word, _ := nextWord(raw)
	return word
}

// nextWord skips a line and reads the string behind it; rest begins at the end of that string, and is nil if there is
// none.
func nextWord(raw []byte) (word string, rest []byte) {
	_, raw, _ = bytes.Cut(raw, []byte("\n"))
	if len(raw) == 0 || raw[0] != '$' {
		return "", nil
	}
	n, err := length(raw)
	_, raw, found := bytes.Cut(raw, []byte("\n"))
	if err != nil || !found || n < 0 || len(raw) < n {
		return "", nil
	}
	return string(raw[:n]), raw[n:]
}
