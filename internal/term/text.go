package term

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/mattn/go-runewidth"
)

// OneLine makes others' text safe to print, on one line: what could move the cursor or hide text is escaped.
func OneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	return Printable(s)
}

// Printable makes others' text safe to print: all that is not graphic is escaped, line breaks too.
func Printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		case r == '\t':
			b.WriteString("    ")
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// PrintableJSON escapes what a terminal would act on, and leaves the JSON's meaning as it is.
func PrintableJSON(text []byte) []byte {
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case unicode.IsGraphic(r), r == '\n':
			b.WriteRune(r)
		case r == '\t', r == '\r': // JSON has these between values only
			b.WriteByte(' ')
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return []byte(b.String())
}

// Cut shortens a text to so many columns; 0: not at all.
func Cut(s string, columns int) string {
	if columns <= 0 {
		return s
	}
	return runewidth.Truncate(s, columns, "…")
}

// Wrap breaks a text between words into lines of so many columns; too few: not at all.
func Wrap(s string, columns int) []string {
	const least = 20
	if columns < least {
		return []string{s}
	}
	lines := []string{""}
	for word := range strings.FieldsSeq(s) {
		line := &lines[len(lines)-1]
		switch {
		case *line == "":
			*line = word
		case runewidth.StringWidth(*line)+1+runewidth.StringWidth(word) <= columns:
			*line += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

// Short tells a duration to people, roughly.
func Short(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return Exact(d.Truncate(time.Second))
	case d < 48*time.Hour:
		return Exact(d.Truncate(time.Minute))
	}
	return fmt.Sprintf("%.0fd", d.Hours()/24)
}

// Exact is a duration as it may stand in config.yaml: 5m, 1h30m, 168h.
func Exact(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Ago tells how long it is since a time of Redis's clock, which may be ahead of ours.
func Ago(t time.Time) string {
	if d := time.Since(t); d >= time.Second {
		return strings.Replace(Short(d.Truncate(time.Second)), ".0s", "s", 1) + " ago"
	}
	return "just now"
}

// Ahead tells how long it is to a time.
func Ahead(t time.Time) string {
	if d := time.Until(t); d >= 50*time.Millisecond {
		return "in " + Short(d)
	}
	return "due now"
}

// Plural counts things: "1 retry", "2,000 retries".
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Number(n) + " " + many
}

// Number writes a whole number, not negative, for people: 1,234.
func Number(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
