package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// CountFile counts what is in a file. A changed file is another call: its size and time are arguments, too.
var CountFile = refcache.Func[File, Counts]{Name: "count-file"}

// File is a file as it was when it was looked at.
type File struct {
	Path     string
	Size     int64
	Modified time.Time
}

// Counts is what is in a file; words are what white space separates.
type Counts struct {
	Lines, Words, Bytes int
	SHA256              string
}

func (s *show) countFile(_ context.Context, in File) (Counts, error) {
	s.counted.Add(1)
	file, err := os.Open(in.Path)
	if err != nil {
		return Counts{}, worker.Permanent(err) // trying again will not bring it back
	}
	defer file.Close()
	sum := sha256.New()
	var c counter
	if _, err := io.Copy(io.MultiWriter(sum, &c), file); err != nil {
		return Counts{}, err
	}
	c.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return c.Counts, nil
}

// counter counts what is written to it.
type counter struct {
	Counts
	inWord bool
}

func (c *counter) Write(block []byte) (int, error) {
	c.Bytes += len(block)
	c.Lines += bytes.Count(block, []byte("\n"))
	for _, b := range block {
		blank := b == ' ' || '\t' <= b && b <= '\r'
		if !blank && !c.inWord {
			c.Words++
		}
		c.inWord = !blank
	}
	return len(block), nil
}

const defaultFile = "README.md"

// FileError says which file cannot be counted, and why.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string {
	if e.Path == defaultFile && errors.Is(e.Err, fs.ErrNotExist) {
		return fmt.Sprintf("there is no %s here: name files to count, as in refq demo go.mod", defaultFile)
	}
	return fmt.Sprintf("cannot count %q: %v", e.Path, e.Err)
}

// Unwrap returns the cause, which does not name the file.
func (e *FileError) Unwrap() error { return e.Err }

// lookAtFiles makes sure, before anything is called, that all files can be read.
func lookAtFiles(paths []string) ([]File, error) {
	if len(paths) == 0 {
		paths = []string{defaultFile}
	}
	files := make([]File, len(paths))
	for i, path := range paths {
		info, err := readable(path)
		if err != nil {
			return nil, &FileError{path, err}
		}
		files[i] = File{Path: path, Size: info.Size(), Modified: info.ModTime()}
	}
	return files, nil
}

// readable opens a file to see that it can be. A pipe is not opened: that could wait for ever.
func readable(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, errors.Unwrap(err) // without the path, which the caller names
	case info.IsDir():
		return nil, errors.New("it is a directory: name files")
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	return info, file.Close()
}

func (s *show) tellCaching(ctx context.Context, files []File) error {
	s.heading("1. Real input, counted once")
	s.say("A function is declared once. Workers handle it, and anybody calls it:")
	s.code(
		`var CountFile = refcache.Func[File, Counts]{Name: "count-file"}`,
		``,
		`worker.Handle(w, CountFile, countFile)  // in a worker`,
		``,
		`count := producer.Cached(p, CountFile)  // in any caller`,
		`counts, err := count(ctx, file)`,
	)
	first, err := s.countAll(ctx, files)
	if err != nil {
		return err
	}
	s.eachOf(first, func(c counted) {
		v := c.counts
		s.answer("%s in %s: %s", s.status(refcache.Complete), brief(c.took), fileName(c.file.Path))
		s.answer("  %s, %s, %s", term.Plural(v.Lines, "line", "lines"), term.Plural(v.Words, "word", "words"), term.Plural(v.Bytes, "byte", "bytes"))
		s.answer("  sha256 %s", v.SHA256)
	})
	s.say("", s.executions(len(files))+".", "", "The same again:")
	s.code(`counts, err := count(ctx, file)`)

	again, err := s.countAll(ctx, files)
	if err != nil {
		return err
	}
	s.eachOf(again, func(c counted) {
		s.answer("%s in %s: %s", s.status(refcache.Complete), brief(c.took), fileName(c.file.Path))
	})
	s.say("", s.executions(2*len(files))+": the second time, the cache answered.")
	return nil
}

// executions says how often the function was really run.
func (s *show) executions(calls int) string {
	return term.Plural(calls, "call", "calls") + ", " + term.Plural(int(s.counted.Load()), "execution", "executions")
}

// counted is a file with the answer of CountFile.
type counted struct {
	file   File
	counts Counts
	took   time.Duration
	err    error
}

// countAll counts all files, each in a call of its own, at the same time.
func (s *show) countAll(ctx context.Context, files []File) ([]counted, error) {
	p := s.p
	count := producer.Cached(p, CountFile)
	all := make([]counted, len(files))
	var wg sync.WaitGroup
	for i, file := range files {
		wg.Go(func() {
			began := time.Now()
			counts, err := count(ctx, file)
			all[i] = counted{file, counts, time.Since(began), err}
		})
	}
	wg.Wait()
	for _, c := range all {
		if c.err != nil {
			return nil, c.err
		}
	}
	return all, nil
}

// eachOf prints the first answers, and how many more there are.
func (s *show) eachOf(all []counted, print func(counted)) {
	const most = 10
	for _, c := range all[:min(len(all), most)] {
		print(c)
	}
	if more := len(all) - most; more > 0 {
		s.answer("and %s", term.Plural(more, "file more", "files more"))
	}
}
