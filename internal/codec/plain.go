package codec

import "bytes"

// Plain returns canonical JSON as functions and people get it: a number has no exponent where at most 40 digits do,
// zeros behind the point counted: 1.999e+1 is 19.99, and 5e-1 is 0.5. It returns text itself if nothing changes.
func Plain(text []byte) []byte {
	if !bytes.Contains(text, []byte("e+")) && !bytes.Contains(text, []byte("e-")) {
		return text
	}
	var out []byte
	copied := 0 // text[:copied] is in out
	for start, end := range numbers(text) {
		if plain, ok := plainNumber(text[start:end]); ok {
			out = append(append(out, text[copied:start]...), plain...)
			copied = end
		}
	}
	if copied == 0 {
		return text
	}
	return append(out, text[copied:]...)
}

// plainNumber spells a canonical number that has an exponent without one. False: it has none, or would be too long.
func plainNumber(canonical []byte) (plain []byte, ok bool) {
	magnitude, negative := bytes.CutPrefix(canonical, []byte("-"))
	mantissa, power := cutPower(magnitude)
	if len(mantissa) == len(magnitude) {
		return nil, false
	}
	digits := bytes.ReplaceAll(mantissa, []byte("."), nil)
	point := int(power) + 1 // so many digits stand before the point; with less than one, zeros follow it
	length := max(point, len(digits)-min(point, 0))
	if length > maxPlainDigits {
		return nil, false
	}
	plain = make([]byte, 0, length+3)
	if negative {
		plain = append(plain, '-')
	}
	switch {
	case point <= 0:
		plain = append(append(append(plain, "0."...), padding[:-point]...), digits...)
	case point < len(digits):
		plain = append(append(append(plain, digits[:point]...), '.'), digits[point:]...)
	default:
		plain = append(append(plain, digits...), padding[:point-len(digits)]...)
	}
	return plain, true
}
