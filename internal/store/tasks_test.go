package store_test

import (
	"crypto/rand"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// task is a task that a test made, and what the test knows of it.
type task struct {
	ref    refcache.Ref
	token  string // of the attempt that runs or ran last
	worker string
	seen   store.Record // as it was read last
}

// policy is the default policy of a function f.
func (q *queue) policy() refcache.Policy {
	p := refcache.Defaults
	p.Name, p.Queue = "f", q.name
	return p
}

// submission is a plain call, new each time.
func (q *queue) submission() store.Submission {
	return store.Submission{Request: rand.Text(), Namespace: "default", Policy: q.policy(), Args: []byte(`{"n":1}`)}
}

func (q *queue) submit(ref refcache.Ref, c store.Submission) store.Submitted {
	q.Helper()
	s, err := q.Submit(q.Context(), ref, c)
	require.NoError(q, err)
	return s
}

func (q *queue) claim(ref refcache.Ref, token, worker string) store.ClaimAnswer {
	q.Helper()
	answer, err := q.Claim(q.Context(), ref, token, worker)
	require.NoError(q, err)
	return answer
}

func (q *queue) finish(ref refcache.Ref, token string, o store.Outcome) store.Finished {
	q.Helper()
	f, err := q.Finish(q.Context(), ref, token, o)
	require.NoError(q, err)
	return f
}

func (q *queue) redeliver(k task, by string) (bool, store.Record) {
	q.Helper()
	taken, r, err := q.Redeliver(q.Context(), store.Claim{Ref: k.ref, Token: k.token}, k.worker, by)
	require.NoError(q, err)
	return taken, r
}

func (q *queue) read(ref refcache.Ref) store.Record {
	q.Helper()
	r, err := q.Read(q.Context(), ref)
	require.NoError(q, err)
	return r
}

func (q *queue) info(ref refcache.Ref) refcache.TaskInfo {
	q.Helper()
	info, err := q.Info(q.Context(), ref)
	require.NoError(q, err)
	return info
}

// failure is a plain failed attempt; its retry, if there is one, is due at once.
func failure() store.Failure { return store.Failure{Error: "boom", Cause: refcache.CauseError} }

func permanent() store.Failure {
	return store.Failure{Error: "hopeless", Cause: refcache.CauseError, Permanent: true}
}

// pending makes a task that waits for a worker.
func (q *queue) pending() task {
	q.Helper()
	k := task{ref: q.ref(), worker: "w1"}
	k.seen = q.submit(k.ref, q.submission()).Record
	return k
}

// start claims the task's next attempt.
func (q *queue) start(k task) task {
	q.Helper()
	k.token = rand.Text()
	answer := q.claim(k.ref, k.token, k.worker)
	require.True(q, answer.Run)
	k.seen = answer.Record
	return k
}

// end finishes the attempt that runs.
func (q *queue) end(k task, o store.Outcome) task {
	q.Helper()
	require.True(q, q.finish(k.ref, k.token, o).Current)
	k.seen = q.read(k.ref)
	return k
}

// cancel cancels the task.
func (q *queue) cancel(k task) task {
	q.Helper()
	done, r, err := q.Cancel(q.Context(), k.seen, "ann@host")
	require.NoError(q, err)
	require.True(q, done)
	k.seen = r
	return k
}

func (q *queue) processing() task { q.Helper(); return q.start(q.pending()) }
func (q *queue) complete() task {
	q.Helper()
	return q.end(q.processing(), q.Completed([]byte(`"done"`)))
}
func (q *queue) failed() task    { q.Helper(); return q.end(q.processing(), store.Errored(permanent())) }
func (q *queue) cancelled() task { q.Helper(); return q.cancel(q.processing()) }
func (q *queue) retrying(delay time.Duration) task {
	q.Helper()
	f := failure()
	f.Delay = delay
	return q.end(q.processing(), store.Errored(f))
}

// exhausted makes a failed task without retries left.
func (q *queue) exhausted() task {
	q.Helper()
	k := task{ref: q.ref(), worker: "w1"}
	c := q.submission()
	c.Policy.MaxRetries = 0
	q.submit(k.ref, c)
	return q.end(q.start(k), store.Errored(failure()))
}
