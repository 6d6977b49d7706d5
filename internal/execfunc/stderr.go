package execfunc

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/refq/refq/refcache"
)

// keep is how much of stderr an error shows, and of a line is looked at, in bytes.
const keep = 4 << 10

// stderr reads what a command writes there in fixed memory: progress lines are reported, what the last line on unavailability says
// is noted, and the end of all else is kept.
type stderr struct {
	progress    func(refcache.Progress)
	unavailable unavailability
	text        tail
	line        []byte // the line so far, as long as it may be for us; cut at keep bytes
	plain       bool   // the line is not for us: it is in text already
}

// Write takes all of p and never fails, so that the command never waits for its reader.
func (s *stderr) Write(p []byte) (int, error) {
	for piece := range bytes.Lines(p) {
		piece, ended := bytes.CutSuffix(piece, []byte("\n"))
		s.add(piece)
		if ended && !s.endLine() {
			s.text.add([]byte("\n"))
		}
	}
	return len(p), nil
}

func (s *stderr) add(piece []byte) {
	if s.plain {
		s.text.add(piece)
		return
	}
	held := len(s.line)
	s.line = append(s.line, piece[:min(len(piece), keep-held)]...)
	if !mayBe(progressPrefix, s.line) && !mayBe(unavailablePrefix, s.line) {
		s.text.add(s.line[:held])
		s.text.add(piece)
		s.line, s.plain = s.line[:0], true
	}
}

// endLine takes what was written so far for whole lines, and reports whether the last of them was one of ours.
func (s *stderr) endLine() bool {
	line := s.line
	s.line, s.plain = s.line[:0], false
	if p, ok := parseProgress(line); ok {
		s.progress(p)
		return true
	}
	if u, ok := parseUnavailable(line); ok {
		s.unavailable = u
		return true
	}
	s.text.add(line)
	return false
}

// tail keeps the end of what is added to it, in fixed memory.
type tail struct{ buf []byte }

func (t *tail) add(p []byte) {
	const enough = 2 * keep // String looks for the border of a character before the last keep bytes
	t.buf = append(t.buf, p[max(0, len(p)-enough):]...)
	if len(t.buf) > 2*enough {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-enough:]...)
	}
}

// String returns at most the last keep bytes, cut between characters, as valid UTF-8 without outer white space.
func (t *tail) String() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(t.buf), "\uFFFD"))
	cut := max(0, len(text)-keep)
	for cut < len(text) && !utf8.RuneStart(text[cut]) {
		cut++
	}
	return text[cut:]
}
