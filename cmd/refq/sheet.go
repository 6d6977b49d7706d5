package main

import (
	"fmt"
	"strings"
)

// sheet is text for people, put together before it is printed.
type sheet struct {
	screen *screen
	text   strings.Builder
}

func (p *sheet) paint(colour, text string) string { return p.screen.paint(colour, text) }

func (p *sheet) line(format string, args ...any) {
	fmt.Fprintf(&p.text, format+"\n", args...)
}

const labelWidth = 14

// field shows a value beside its label; the lines of a long one stand below each other.
func (p *sheet) field(label, value string) {
	for i, line := range strings.Split(value, "\n") {
		if i > 0 {
			label = ""
		}
		p.line("%s%s", p.paint(faint, fmt.Sprintf("  %-*s", labelWidth-2, label)), line)
	}
}

func (p *sheet) print() error {
	_, err := p.screen.Write([]byte(p.text.String()))
	return err
}
