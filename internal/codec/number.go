package codec

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strconv"
)

const (
	maxPlainDigits = 40   // longer integers are printed with an exponent
	maxExponent    = 9999 // of the printed form, either sign

	padding = "0000000000000000000000000000000000000000" // maxPlainDigits of them
)

// canonicalNumbers respells every number of text, which must be one valid JSON value, and leaves the rest as it is.
func canonicalNumbers(text []byte) ([]byte, error) {
	out := make([]byte, 0, len(text))
	copied := 0 // text[:copied] is in out
	for start, end := range numbers(text) {
		var ok bool
		if out, ok = appendNumber(append(out, text[copied:start]...), text[start:end]); !ok {
			return nil, fmt.Errorf("number with an exponent beyond ±%d at byte %d", maxExponent, start)
		}
		copied = end
	}
	return append(out, text[copied:]...), nil
}

// numbers yields where each number of text begins and ends, which must be one valid JSON value.
func numbers(text []byte) iter.Seq2[int, int] {
	return func(yield func(start, end int) bool) {
		for i := 0; i < len(text); {
			switch c := text[i]; {
			case c == '"':
				i = stringEnd(text, i)
			case c == '-' || '0' <= c && c <= '9':
				end := numberEnd(text, i)
				if !yield(i, end) {
					return
				}
				i = end
			default:
				i++
			}
		}
	}
}

// numberEnd returns the index behind the number that starts at text[start].
func numberEnd(text []byte, start int) int {
	for i := start; i < len(text); i++ {
		switch c := text[i]; {
		case '0' <= c && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
		default:
			return i
		}
	}
	return len(text)
}

// appendNumber appends the canonical spelling of raw, a valid JSON number. It refuses exponents beyond maxExponent.
func appendNumber(dst, raw []byte) (_ []byte, ok bool) {
	magnitude, negative := bytes.CutPrefix(raw, []byte("-"))
	mantissa, power := cutPower(magnitude)
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))

	out := dst
	if negative {
		out = append(out, '-')
	}
	first := len(out)
	out = append(append(out, whole...), fraction...)
	digits := bytes.TrimLeft(out[first:], "0")
	zeros := len(out) - first - len(digits)
	exponent := power + int64(len(whole)-zeros-1) // of the first digit that is not zero
	digits = bytes.TrimRight(digits, "0")
	out = append(out[:first], digits...) // moves them down in place

	switch {
	case len(digits) == 0:
		return append(dst, '0'), true
	case exponent < maxPlainDigits && exponent >= int64(len(digits)-1):
		return append(out, padding[:int(exponent)+1-len(digits)]...), true
	case exponent < -maxExponent || exponent > maxExponent:
		return nil, false
	}
	if len(digits) > 1 {
		out = slices.Insert(out, first+1, '.')
	}
	out = append(out, 'e')
	if exponent >= 0 {
		out = append(out, '+')
	}
	return strconv.AppendInt(out, exponent, 10), true
}

// cutPower splits a number without sign at its power of ten, which is 0 if none is written. A power of absurd size is
// cut to one that is still far beyond any number of digits, so that sums of the two neither overflow nor cancel out.
func cutPower(magnitude []byte) (mantissa []byte, power int64) {
	i := bytes.IndexAny(magnitude, "eE")
	if i < 0 {
		return magnitude, 0
	}
	power, _ = strconv.ParseInt(string(magnitude[i+1:]), 10, 48) // out of range: the nearest of 48 bits
	return magnitude[:i], power
}
