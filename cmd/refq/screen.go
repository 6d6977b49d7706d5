package main

import (
	"io"
	"os"

	"golang.org/x/term"

	"github.com/refq/refq/refcache"
)

// screen is stdout or stderr.
type screen struct {
	to       io.Writer
	terminal bool
	colour   bool
}

func newScreen(to io.Writer, env func(string) (string, bool)) *screen {
	s := &screen{to: to}
	if f, ok := to.(*os.File); ok {
		s.terminal = term.IsTerminal(int(f.Fd()))
	}
	noColour, _ := env("NO_COLOR")
	kind, _ := env("TERM")
	s.colour = s.terminal && noColour == "" && kind != "dumb"
	return s
}

func (s *screen) Write(p []byte) (int, error) { return s.to.Write(p) }

// width is that of the terminal in columns; 0 if it is none.
func (s *screen) width() int {
	f, ok := s.to.(*os.File)
	if !ok || !s.terminal {
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
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
)

var statusColours = map[refcache.Status]string{refcache.Pending: faint, refcache.Processing: blue,
	refcache.Retrying: yellow, refcache.Complete: green, refcache.Failed: red, refcache.Cancelled: yellow}

// paint colours a text if that is wanted.
func (s *screen) paint(colour, text string) string {
	if !s.colour || colour == "" || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
