package demo

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/refcache"
)

const cyan = "36"

// story prints the demo within 80 columns: prose at the margin, code and answers indented.
type story struct{ *term.Screen }

func (s story) heading(text string) {
	s.say("", "", s.Paint(term.Bold, text), s.Paint(term.Faint, strings.Repeat("-", len(text))), "")
}

func (s story) say(lines ...string) {
	for _, line := range lines {
		fmt.Fprintln(s, line)
	}
}

// code shows lines of Go as a user would write them.
func (s story) code(lines ...string) {
	s.say("")
	for _, line := range lines {
		if line != "" {
			line = "    " + s.Paint(cyan, line)
		}
		s.say(line)
	}
	s.say("")
}

// answer shows what came back.
func (s story) answer(format string, args ...any) {
	s.say("  " + fmt.Sprintf(format, args...))
}

// at shows what happened so long after the chapter's call was started.
func (s story) at(since time.Duration, format string, args ...any) {
	s.answer("%4.1f s  %s", since.Seconds(), fmt.Sprintf(format, args...))
}

// value shows a result as the JSON that it travels as.
func (s story) value(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.answer("%s", s.Paint(term.Bold, string(text)))
	return nil
}

func (s story) status(status refcache.Status) string {
	return s.Paint(term.StatusColours[status], string(status))
}

// brief is a short time as a person says it: 0.4 ms, 214 ms, 1.2 s.
func brief(d time.Duration) string {
	switch ms := float64(d) / float64(time.Millisecond); {
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// fileName is a path that fits on a line: of a long one, its end.
func fileName(path string) string {
	const most = 56
	name := term.OneLine(path)
	if excess := runewidth.StringWidth(name) - most; excess > 0 {
		name = runewidth.TruncateLeft(name, excess+1, "…")
	}
	return name
}
