package execfunc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"unicode/utf8"
)

// firstLineRead is how much of a program is looked at: as much as Linux reads to find out how to run it.
const firstLineRead = 256

// byteOrderMark is what some editors put in front of UTF-8.
const byteOrderMark = "\ufeff"

// checkFirstLine says why the system would not run a program that is a script: by its first line, or for lack of one. What can be
// run and not read passes.
func (c Command) checkFirstLine(program, dir string) error {
	begin, whole := readBegin(program)
	if begin == nil {
		return nil
	}
	line, script := bytes.CutPrefix(begin, []byte("#!"))
	if !script {
		return checkBinary(program, begin)
	}
	line, _, ended := bytes.Cut(line, []byte("\n"))
	if !ended && !whole {
		return nil // longer than what was read
	}
	if bytes.HasSuffix(line, []byte("\r")) {
		return fmt.Errorf("program %s: the first line ends with a carriage return, so its interpreter is not found: "+
			"save the file with Unix line ends", program)
	}
	if err := c.checkInterpreter(strings.Trim(string(line), " \t"), dir); err != nil {
		return fmt.Errorf("program %s: the first line is %.100q, but %w", program, "#!"+string(line), err)
	}
	return nil
}

// readBegin is how a file begins; whole: there is no more. Nil: it cannot be read.
func readBegin(path string) (begin []byte, whole bool) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	begin = make([]byte, firstLineRead)
	n, err := io.ReadFull(f, begin)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, false
	}
	return begin[:n], err != nil
}

// checkBinary says why a file without "#!" cannot be run, which binaries can: they have a byte 0 near their beginning, or are no text.
func checkBinary(program string, begin []byte) error {
	cut := begin // a character may be cut in two
	for len(cut) > 0 && len(begin)-len(cut) < utf8.UTFMax && !utf8.Valid(cut) {
		cut = cut[:len(cut)-1]
	}
	switch {
	case bytes.IndexByte(begin, 0) >= 0, !utf8.Valid(cut):
		return nil
	case len(begin) == 0:
		return fmt.Errorf("program %s is empty", program)
	case bytes.HasPrefix(begin, []byte(byteOrderMark+"#!")):
		return fmt.Errorf(`program %s: a byte order mark stands before "#!": save the file without it`, program)
	}
	return fmt.Errorf(`program %s is a text without "#!" in its first line: name its interpreter there, or in exec`, program)
}

// checkInterpreter says why what stands after "#!" cannot run the script.
func (c Command) checkInterpreter(line, dir string) error {
	interpreter, argument := line, ""
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		interpreter, argument = line[:i], strings.TrimLeft(line[i:], " \t")
	}
	if interpreter == "" {
		return errors.New("it names no interpreter")
	}
	path := interpreter
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if _, err := exec.LookPath(path); err != nil {
		return fmt.Errorf("%s is no executable file: install it, or name another interpreter", path)
	}
	if filepath.Base(interpreter) == "env" {
		return c.checkEnv(argument)
	}
	return nil
}

// checkEnv says why the program env does not find what it is to run. Linux hands over all that stands behind env as one argument.
func (c Command) checkEnv(argument string) error {
	words := strings.Fields(argument)
	split := len(words) > 0 && (words[0] == "-S" || words[0] == "--split-string")
	switch {
	case split:
		words = words[1:]
	case len(words) > 1 && runtime.GOOS == "linux" && !strings.HasPrefix(argument, "-"):
		return fmt.Errorf("env looks for a program named %q: write \"env -S %s\"", argument, argument)
	}
	for len(words) > 0 && strings.Contains(words[0], "=") {
		words = words[1:]
	}
	if len(words) == 0 || strings.HasPrefix(words[0], "-") || strings.Contains(words[0], "/") {
		return nil // options may change where it looks
	}
	_, err := c.lookFor(words[0])
	return err
}
