package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// eachLab runs refq call --each with a worker that answers numbers with themselves.
type eachLab struct {
	*testing.T
	url, config string
}

func newEachLab(t *testing.T) eachLab {
	t.Helper()
	t.Parallel()
	server, err := memredis.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(server.Close)
	rdb := redis.NewClient(testkit.Options(server.Addr()))
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	w := worker.New(rdb, worker.Config{Logger: slog.New(slog.DiscardHandler), Concurrency: 8})
	worker.Handle(w, refcache.Func[int, int]{Name: "same"}, func(_ context.Context, n int) (int, error) { return n, nil })
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	config := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(config, []byte("functions:\n  same: {}\n"), 0o600))
	return eachLab{t, "redis://" + server.Addr() + testkit.Patience, config}
}

func (l eachLab) call(ctx context.Context, stdin io.Reader, stdout io.Writer) (code int, stderr string) {
	var errs bytes.Buffer
	args := []string{"call", "same", "--each", "--wait", "1m", "--redis", l.url, "--config", l.config}
	code = run(ctx, args, stdin, stdout, &errs, func(string) (string, bool) { return "", false })
	return code, errs.String()
}

func numberLines(n int) *strings.Reader {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i)
	}
	return strings.NewReader(b.String())
}

func TestAnswersComeInTheOrderOfTheLines(t *testing.T) {
	testkit.Long(t)
	l := newEachLab(t)
	var out bytes.Buffer
	code, stderr := l.call(t.Context(), numberLines(60), &out)
	require.Empty(t, stderr, "%s", out.String())
	require.Equal(t, exitDone, code)
	n := 0
	for line := range strings.Lines(out.String()) {
		require.True(t, strings.HasSuffix(line, fmt.Sprintf("  %d\n", n)), "%s", line)
		n++
	}
	require.Equal(t, 60, n)
}

func TestInterruptedLinesSayHowFarTheyCame(t *testing.T) {
	testkit.Long(t)
	l := newEachLab(t)
	ctx, interrupt := context.WithCancel(t.Context())
	out := &lineWriter{at: func(lines int) error {
		if lines == 20 {
			interrupt()
		}
		return nil
	}}
	// Its end never comes: stdin may well be idle.
	idle, more := io.Pipe()
	defer more.Close()
	code, stderr := l.call(ctx, io.MultiReader(numberLines(60), idle), out)
	require.Equal(t, exitOther, code)
	answered := strings.Count(out.String(), "\n")
	require.GreaterOrEqual(t, answered, 20)
	require.Regexp(t, fmt.Sprintf("^refq: interrupted: answered %d of the [0-9]+ lines read; the calls that were made go on, "+
		"and the same input again runs none of them twice\n$", answered), stderr)

	var all bytes.Buffer
	code, stderr = l.call(t.Context(), numberLines(60), &all)
	require.Empty(t, stderr, "%s", all.String())
	require.Equal(t, exitDone, code)
	require.True(t, strings.HasPrefix(all.String(), out.String()), "what was answered is answered the same")
	require.Equal(t, 60, strings.Count(all.String(), "\n"))
}

func TestAnswersThatCannotBeWrittenEndTheLines(t *testing.T) {
	l := newEachLab(t)
	idle, more := io.Pipe()
	defer more.Close()
	code, stderr := l.call(t.Context(), io.MultiReader(numberLines(60), idle), &lineWriter{at: func(lines int) error {
		if lines == 20 {
			return errFull
		}
		return nil
	}})
	require.Equal(t, exitOther, code)
	require.Regexp(t, "^refq: "+errFull.Error()+"\nrefq: answered 19 of the [0-9]+ lines read; ", stderr)
}

func TestLinesThatCannotBeReadAreAnError(t *testing.T) {
	l := newEachLab(t)
	var out bytes.Buffer
	code, stderr := l.call(t.Context(), io.MultiReader(numberLines(3), iotest.ErrReader(errors.New("the disk is gone"))), &out)
	require.Equal(t, exitOther, code)
	require.Equal(t, "refq: read line 4: the disk is gone\n", stderr)
	require.Equal(t, 3, strings.Count(out.String(), "\n"))
}

// endless reads as the same text for ever.
type endless string

func (e endless) Read(p []byte) (n int, err error) {
	for n+len(e) <= len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

func TestLinesAreReadNoFurtherAheadOfTheAnswersThanIsSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		l := newLines(endless("1\n"), 10, config.Function{})
		var read atomic.Int32
		go func() {
			for range l.read(ctx) {
				read.Add(1)
			}
		}()
		synctest.Wait()
		require.EqualValues(t, linesAhead, read.Load())
		for i := range 10 {
			l.answered(i)
		}
		synctest.Wait()
		require.EqualValues(t, linesAhead+10, read.Load())
		stop()
		synctest.Wait()
	})
}

func TestALineThatIsTooLongIsNotKept(t *testing.T) {
	var before, after runtime.MemStats
	l := newLines(io.MultiReader(io.LimitReader(endless("x"), 64<<20), strings.NewReader("\n"+`"yes"`)), 1000, config.Function{})
	runtime.ReadMemStats(&before)
	line, err := l.next()
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.ErrorIs(t, line.err, refcache.ErrArgsTooLarge)
	require.Empty(t, line.text)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "of 64 MiB")
	line, err = l.next()
	require.NoError(t, err)
	require.NoError(t, line.err)
	require.Equal(t, `"yes"`, string(line.text))
	_, err = l.next()
	require.ErrorIs(t, err, io.EOF)
}
