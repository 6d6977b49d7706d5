package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// withFailures returns the URL of a Redis with n failed calls.
func withFailures(t *testing.T, n int) string {
	t.Helper()
	server, err := memredis.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(server.Close)
	rdb := redis.NewClient(testkit.Options(server.Addr()))
	t.Cleanup(func() { require.NoError(t, rdb.Close()) })
	w := worker.New(rdb, worker.Config{Logger: slog.New(slog.DiscardHandler), Concurrency: n})
	f := refcache.Func[int, int]{Name: "f", AsyncTimeout: time.Minute}
	worker.Handle(w, f, func(_ context.Context, i int) (int, error) {
		return 0, worker.Permanent(errors.New("no luck with " + strconv.Itoa(i)))
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	p := producer.New(rdb, producer.Config{})
	var refs []refcache.Ref
	for i := range n {
		ref, err := producer.Submit(t.Context(), p, f, i)
		require.NoError(t, err)
		refs = append(refs, ref)
	}
	for _, ref := range refs {
		_, err := p.Wait(t.Context(), ref)
		require.ErrorContains(t, err, "no luck")
	}
	require.NoError(t, p.Close())
	stop()
	require.NoError(t, <-ended)
	return "redis://" + server.Addr() + testkit.Patience
}

// lineWriter does something at each line that is written.
type lineWriter struct {
	bytes.Buffer
	at func(lines int) error
}

func (w *lineWriter) Write(p []byte) (int, error) {
	n, _ := w.Buffer.Write(p)
	return n, w.at(strings.Count(w.String(), "\n"))
}

// retryAllTo runs refq retry --all.
func retryAllTo(ctx context.Context, url string, stdout io.Writer) (code int, stderr string) {
	var errs bytes.Buffer
	args := []string{"retry", "--all", "--yes", "--redis", url}
	code = run(ctx, args, strings.NewReader(""), stdout, &errs, func(string) (string, bool) { return "", false })
	return code, errs.String()
}

func TestInterruptedRetryOfAllSaysWhatItDid(t *testing.T) {
	testkit.Long(t)
	t.Parallel()
	url := withFailures(t, 60)
	ctx, interrupt := context.WithCancel(t.Context())
	out := &lineWriter{at: func(lines int) error {
		if lines == 20 {
			interrupt()
		}
		return nil
	}}
	code, stderr := retryAllTo(ctx, url, out)
	require.Equal(t, exitOther, code)
	told := strings.Count(out.String(), "\npending ") + 1
	require.GreaterOrEqual(t, told, 20)
	require.Less(t, told, 60)
	require.Equal(t, "refq: 60 failed calls: 60 with retries left\n"+
		"refq: interrupted: retried "+strconv.Itoa(told)+" calls; the rest is untouched\n", stderr)

	// Run again, it does the rest.
	out = &lineWriter{at: func(int) error { return nil }}
	code, stderr = retryAllTo(t.Context(), url, out)
	require.Equal(t, exitDone, code)
	require.Contains(t, stderr, "refq: retried "+strconv.Itoa(60-told)+" calls\n")
	require.Equal(t, 60-told, strings.Count(out.String(), "\n"))
}

func TestRetryOfAllThatCannotTellStopsAndCounts(t *testing.T) {
	testkit.Long(t)
	t.Parallel()
	url := withFailures(t, 60)
	code, stderr := retryAllTo(t.Context(), url, &lineWriter{at: func(lines int) error {
		if lines == 20 {
			return errFull
		}
		return nil
	}})
	require.Equal(t, exitOther, code)
	require.Contains(t, stderr, "refq: "+errFull.Error()+"\nrefq: retried 32 calls; the rest is untouched\n")
	code, stderr = retryAllTo(t.Context(), url, io.Discard)
	require.Equal(t, exitDone, code)
	require.Contains(t, stderr, "refq: retried 28 calls\n")
}

func TestFailuresAreCountedInBoundedMemory(t *testing.T) {
	t.Parallel()
	var f failures
	for i := range 3000 {
		f.add(refcache.TaskInfo{Func: "f" + strconv.Itoa(i), LastError: "no luck\nat all", CanRetry: i%3 == 0})
	}
	f.add(refcache.TaskInfo{Unreadable: "damaged"})
	require.Len(t, f.Sorted(), 1000)
	require.Equal(t, 2001, f.Others)
	require.Equal(t, "3,001 failed calls: 1,000 with retries left, 2,000 exhausted (only --fresh retries these), 1 unreadable", f.sentence())
	f.fresh = true
	require.Equal(t, 3000, f.retriable())
}

func TestEachReasonNotToRetryHasAWord(t *testing.T) {
	t.Parallel()
	var done retriedCount
	for _, err := range []error{nil, refcache.ErrNotQueued, refcache.ErrRetriesExhausted, refcache.ErrNotFailed,
		refcache.ErrTaskNotFound, refcache.ErrUnreadable, io.ErrUnexpectedEOF} {
		done.add(admin.Retried{Err: err})
	}
	require.Equal(t, "retried 2 calls (1 stored, not queued; a worker's sweep queues them), not 5 others: "+
		"1 exhausted (only --fresh retries these), 1 not failed any more, 1 gone, 1 unreadable, "+
		"1 without an answer (they may have been)", done.sentence())
	require.Equal(t, "gone", whyNot(admin.Retried{Err: refcache.ErrTaskNotFound}))
	require.Equal(t, "unexpected EOF", whyNot(admin.Retried{Err: io.ErrUnexpectedEOF}))
}
