package term

import (
	"io"
	"os"

	"golang.org/x/term"

	"github.com/refq/refq/refcache"
)

// Screen is stdout or stderr.
type Screen struct {
	To       io.Writer
	Terminal bool
	Colour   bool
}

func NewScreen(to io.Writer, env func(string) (string, bool)) *Screen {
	s := &Screen{To: to}
	if f, ok := to.(*os.File); ok {
		s.Terminal = term.IsTerminal(int(f.Fd()))
	}
	noColour, _ := env("NO_COLOR")
	kind, _ := env("TERM")
	s.Colour = s.Terminal && noColour == "" && kind != "dumb"
	return s
}

func (s *Screen) Write(p []byte) (int, error) { return s.To.Write(p) }

// Width is that of the terminal in columns; 0 if it is none.
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

var StatusColours = map[refcache.Status]string{refcache.Pending: Faint, refcache.Processing: Blue,
	refcache.Retrying: Yellow, refcache.Complete: Green, refcache.Failed: Red, refcache.Cancelled: Yellow}

// Paint colours a text if that is wanted.
func (s *Screen) Paint(colour, text string) string {
	if !s.Colour || colour == "" || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
