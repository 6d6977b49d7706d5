// Package term shows text on a terminal: colours, aligned columns, and others' text made safe to print. Where output is
// no terminal, the same text is printed plain.
package term

import (
	"io"
	"os"

	"golang.org/x/term"

	"github.com/refq/refq/refcache"
)

// Screen is stdout or stderr. The zero value of all but To is plain output.
type Screen struct {
	To       io.Writer
	Terminal bool // To is a terminal, so that what is on it can be overwritten
	Colour   bool // colours are wanted
}

// NewScreen returns a screen that knows whether to is a terminal. There are colours on a terminal, unless NO_COLOR is set
// or TERM is dumb. env is like os.LookupEnv.
func NewScreen(to io.Writer, env func(string) (string, bool)) *Screen {
	s := &Screen{To: to, Terminal: IsTerminal(to)}
	noColour, _ := env("NO_COLOR")
	kind, _ := env("TERM")
	s.Colour = s.Terminal && noColour == "" && kind != "dumb"
	return s
}

// IsTerminal reports whether a reader or writer is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Write writes to the stream as it is.
func (s *Screen) Write(p []byte) (int, error) { return s.To.Write(p) }

// Width returns the width of the terminal in columns; 0 if it is none.
func (s *Screen) Width() int {
	f, ok := s.To.(*os.File)
	if !ok || !s.Terminal {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// Colours of the terminal.
const (
	Bold   = "1"
	Faint  = "2"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
	Blue   = "34"
)

// StatusColours are the colours in which statuses are shown.
var StatusColours = map[refcache.Status]string{refcache.Waiting: Faint, refcache.Pending: Faint, refcache.Processing: Blue,
	refcache.Retrying: Yellow, refcache.Complete: Green, refcache.Failed: Red, refcache.Cancelled: Yellow}

// Paint colours a text if that is wanted. The colour is one of the constants above, or two with a semicolon between;
// empty: none.
func (s *Screen) Paint(colour, text string) string {
	if !s.Colour || colour == "" || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
