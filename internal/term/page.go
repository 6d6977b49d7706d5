package term

import (
	"fmt"
	"strings"
)

// Page is text for people, put together before it is printed. The zero value with a Screen is an empty page.
type Page struct {
	Screen *Screen
	text   strings.Builder
}

// Paint colours a text as the screen does.
func (p *Page) Paint(colour, text string) string { return p.Screen.Paint(colour, text) }

// Line appends a line. The arguments are those of fmt.Sprintf, without the line break.
func (p *Page) Line(format string, args ...any) {
	fmt.Fprintf(&p.text, format+"\n", args...)
}

const labelWidth = 14

// Field appends a value beside its label; the lines of a long one stand below each other.
func (p *Page) Field(label, value string) {
	for i, line := range strings.Split(value, "\n") {
		if i > 0 {
			label = ""
		}
		p.Line("%s%s", p.Paint(Faint, fmt.Sprintf("  %-*s", labelWidth-2, label)), line)
	}
}

// Print writes the page to its screen, in one write.
func (p *Page) Print() error {
	_, err := p.Screen.Write([]byte(p.text.String()))
	return err
}
