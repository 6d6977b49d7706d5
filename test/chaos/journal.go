//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/refq/refq/refcache"
)

// kind says what a line of a journal is about.
type kind string

const (
	started  kind = "started"  // worker: the function was called
	returned kind = "returned" // worker: it gave an answer
	failed   kind = "failed"   // worker: it gave an error
	stopped  kind = "stopped"  // worker: its context ended
	vitals   kind = "vitals"   // worker: how many goroutines it has

	asked    kind = "asked"    // producer: the call is about to be made
	refused  kind = "refused"  // producer: it could not be made, or not awaited; it is made again
	accepted kind = "accepted" // producer: it was made, and is not awaited
	answered kind = "answered" // producer: it has ended
	vanished kind = "vanished" // producer: it was there, and is not any more
)

// line is an entry of a journal.
type line struct {
	At      int64           `json:"at"` // Unix µs
	Kind    kind            `json:"kind"`
	PID     int             `json:"pid"`
	Ref     refcache.Ref    `json:"ref,omitempty"`
	N       int             `json:"n,omitempty"`
	Key     string          `json:"key,omitempty"`
	Attempt int             `json:"attempt,omitempty"`
	Run     string          `json:"run,omitempty"` // of an execution, or the one that an answer comes from
	Status  refcache.Status `json:"status,omitempty"`
	Text    string          `json:"text,omitempty"` // an error, or why a context ended
	Count   int             `json:"count,omitempty"`
}

func (l line) time() time.Time { return time.UnixMicro(l.At) }

// journal is what one process writes down. A line that was written outlives the process.
type journal struct {
	mu   sync.Mutex
	file *os.File
	pid  int
}

func openJournal(dir, role string) (*journal, error) {
	name := filepath.Join(dir, fmt.Sprintf("%s-%d.jsonl", role, os.Getpid()))
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return &journal{file: file, pid: os.Getpid()}, nil
}

// write adds a line. A process without its journal proves nothing, so it ends.
func (j *journal) write(l line) {
	j.mu.Lock()
	defer j.mu.Unlock()
	l.At, l.PID = time.Now().UnixMicro(), j.pid
	text, err := json.Marshal(l)
	if err == nil {
		_, err = j.file.Write(append(text, '\n'))
	}
	if err != nil {
		panic(fmt.Sprintf("write journal: %v", err))
	}
}

// readJournals hands over the lines that the processes of a role have written so far; the last one of a process that
// was killed may be cut.
func readJournals(dir, role string, each func(line)) error {
	names, err := filepath.Glob(filepath.Join(dir, role+"-*.jsonl"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := readJournal(name, each); err != nil {
			return err
		}
	}
	return nil
}

func readJournal(name string, each func(line)) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			if lines.Scan() {
				return fmt.Errorf("journal %s: %w", name, err)
			}
			return nil
		}
		each(l)
	}
	return lines.Err()
}
