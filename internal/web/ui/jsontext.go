package ui

import (
	"bytes"
	"strings"
)

// maxShown is how much of a JSON text a page shows, in bytes.
const maxShown = 64 << 10

// jsonText is arguments or a result as a page shows them.
type jsonText struct {
	Text string // indented; empty: there is none
	Size int    // of the whole, in bytes, as it is stored
	Cut  bool   // Text is the beginning only
}

func newJSONText(raw []byte) jsonText {
	text, cut := indentedTo(raw, maxShown)
	return jsonText{text, len(raw), cut}
}

// indentedTo is a JSON text on lines, up to so many bytes of whole characters. Strings and numbers stay as they are
// written. It never fails: what is no JSON comes out somehow.
func indentedTo(raw []byte, most int) (text string, cut bool) {
	var out bytes.Buffer
	depth := 0
	line := func() {
		out.WriteByte('\n')
		for range min(depth, most-out.Len()) { // depth may be of thousands
			out.WriteString("  ")
		}
	}
	for i := 0; i < len(raw) && out.Len() <= most; i++ {
		switch c := raw[i]; c {
		case ' ', '\t', '\r', '\n':
		case '"':
			end := stringEnd(raw, i)
			out.Write(raw[i:min(end, i+most+1)])
			i = end - 1
		case '{', '[':
			out.WriteByte(c)
			if next := bytes.TrimLeft(raw[i+1:], " \t\r\n"); len(next) > 0 && (next[0] == '}' || next[0] == ']') {
				out.WriteByte(next[0])
				i = len(raw) - len(next)
				continue
			}
			depth++
			line()
		case '}', ']':
			depth = max(0, depth-1)
			line()
			out.WriteByte(c)
		case ',':
			out.WriteByte(c)
			line()
		case ':':
			out.WriteString(": ")
		default:
			out.WriteByte(c)
		}
	}
	if out.Len() > most {
		return strings.ToValidUTF8(string(out.Bytes()[:most]), "") + "…", true
	}
	return out.String(), false
}

// stringEnd is where the string that begins at i is over.
func stringEnd(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(raw)
}
