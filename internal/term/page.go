package term

import (
	"fmt"
	"strings"
)

// Page is text for people, put together before it is printed.
type Page struct {
	Screen *Screen
	text   strings.Builder
}

func (p *Page) Paint(colour, text string) string { return p.Screen.Paint(colour, text) }

func (p *Page) Line(format string, args ...any) {
	fmt.Fprintf(&p.text, format+"\n", args...)
}

const labelWidth = 14

// Field shows a value beside its label; the lines of a long one stand below each other.
func (p *Page) Field(label, value string) {
	for i, line := range strings.Split(value, "\n") {
		if i > 0 {
			label = ""
		}
		p.Line("%s%s", p.Paint(Faint, fmt.Sprintf("  %-*s", labelWidth-2, label)), line)
	}
}

func (p *Page) Print() error {
	_, err := p.Screen.Write([]byte(p.text.String()))
	return err
}
