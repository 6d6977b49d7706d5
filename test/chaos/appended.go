//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// readAppended hands over the commands that Redis has appended to its file in a folder, also those that scripts sent, in the order
// of their execution. What Redis has rewritten is not among them: it does so from 64 MB on.
func readAppended(dir string, each func(command []string) error) error {
	var names []string
	for _, pattern := range []string{"appendonlydir/*.incr.aof", "appendonly.aof"} { // of Redis 7, and before
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		names = append(names, found...)
	}
	if len(names) != 1 {
		return fmt.Errorf("read what Redis has appended: there are %d files, want 1", len(names))
	}
	file, err := os.Open(names[0])
	if err != nil {
		return fmt.Errorf("read what Redis has appended: %w", err)
	}
	defer file.Close()
	for from := bufio.NewReader(file); ; {
		command, err := readCommand(from)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // it may be writing
			return nil
		}
		if err == nil {
			err = each(command)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", names[0], err)
		}
	}
}

// readCommand reads a command as clients send them.
func readCommand(from *bufio.Reader) ([]string, error) {
	var words int
	if _, err := fmt.Fscanf(from, "*%d\r\n", &words); err != nil {
		return nil, err
	}
	command := make([]string, words)
	for i := range command {
		var size int
		if _, err := fmt.Fscanf(from, "$%d\r\n", &size); err != nil {
			return nil, err
		}
		word := make([]byte, size+len("\r\n"))
		if _, err := io.ReadFull(from, word); err != nil {
			return nil, err
		}
		command[i] = string(word[:size])
	}
	return command, nil
}
