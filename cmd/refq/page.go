package main

import (
	"fmt"
	"strings"

	"github.com/refq/refq/internal/term"
)

// page is a sheet that knows how calls are shown.
type page struct{ term.Page }

// errorLines is how many lines of an error people are shown.
const errorLines = 6

// errorText is the error of an attempt for people: its first lines, a stack folded to the place of the panic.
func (p *page) errorText(text string, most int) string {
	text, stack := cutStack(text)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	hidden := len(lines) - most
	if hidden > 0 {
		lines = lines[:most]
	}
	for i, line := range lines {
		lines[i] = term.Printable(strings.TrimRight(line, "\r"))
	}
	if hidden > 0 {
		lines = append(lines, p.Paint(term.Faint, fmt.Sprintf("… %s more: -o json shows them", term.Plural(hidden, "line", "lines"))))
	}
	if stack != "" {
		lines = append(lines, p.Paint(term.Faint, panicPlace(stack)+": -o json shows the stack"))
	}
	return strings.Join(lines, "\n")
}

// cutStack parts an error from the stack that a panic adds to it.
func cutStack(text string) (message, stack string) {
	i := strings.Index(text, "\ngoroutine ")
	if i < 0 || !strings.Contains(text[i:], " [running]:") {
		return text, ""
	}
	return text[:i], text[i+1:]
}

// panicPlace finds the function that panicked, and where: the first frame below panic that is not of the runtime.
func panicPlace(stack string) string {
	_, below, found := strings.Cut(stack, "\npanic(")
	if !found {
		return "panicked"
	}
	lines := strings.Split(below, "\n")
	for i := 2; i+1 < len(lines); i += 2 {
		if strings.HasPrefix(lines[i], "runtime.") {
			continue
		}
		function, _, _ := strings.Cut(lines[i], "(")
		place, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " +0x")
		return term.Printable("at " + function + ", " + place)
	}
	return "panicked"
}
