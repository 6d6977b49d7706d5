package worker_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

const (
	asynqPrefix = "asynq:{default}:"
	retryWait   = 5 * time.Second  // of the retry that waits when somebody meddles
	workTime    = 3 * time.Second  // of every attempt
	mended      = 10 * time.Second // within which all is well again
)

// button is one of the pages of asynq's web UI, which call the same functions.
type button struct {
	states string // of the doorbells that it is tried on
	works  string // the states in which it does something
	all    bool   // it is about all of the queue's doorbells
	press  func(i *asynq.Inspector, id string) error
}

var buttons = map[string]button{
	"run":     {anyBell, "scheduled retry archived completed", false, func(i *asynq.Inspector, id string) error { return i.RunTask("default", id) }},
	"delete":  {anyBell, "pending scheduled retry archived completed", false, func(i *asynq.Inspector, id string) error { return i.DeleteTask("default", id) }},
	"archive": {anyBell, "pending scheduled retry completed", false, func(i *asynq.Inspector, id string) error { return i.ArchiveTask("default", id) }},
	"cancel":  {anyBell, anyBell, false, func(i *asynq.Inspector, id string) error { return i.CancelProcessing(id) }},
	"run all": {anyBell, anyBell, true, func(i *asynq.Inspector, _ string) error {
		return every(i.RunAllScheduledTasks, i.RunAllRetryTasks, i.RunAllArchivedTasks)
	}},
	"delete all": {anyBell, anyBell, true, func(i *asynq.Inspector, _ string) error {
		return every(i.DeleteAllPendingTasks, i.DeleteAllScheduledTasks, i.DeleteAllRetryTasks, i.DeleteAllArchivedTasks, i.DeleteAllCompletedTasks)
	}},
	"archive all": {anyBell, anyBell, true, func(i *asynq.Inspector, _ string) error {
		return every(i.ArchiveAllPendingTasks, i.ArchiveAllScheduledTasks, i.ArchiveAllRetryTasks)
	}},
	"delete queue":                       {idleBell, idleBell, true, func(i *asynq.Inspector, _ string) error { return i.DeleteQueue("default", true) }},
	"delete queue while some are active": {anyBell, "", true, func(i *asynq.Inspector, _ string) error { return i.DeleteQueue("default", true) }},
	"pause": {anyBell, anyBell, true, func(i *asynq.Inspector, _ string) error { // which it was already
		time.Sleep(time.Minute)
		return nil
	}},
}

const (
	idleBell = "pending scheduled retry archived completed gone"
	anyBell  = idleBell + " active"
)

func every(presses ...func(queue string) (int, error)) (err error) {
	for _, press := range presses {
		_, failed := press("default")
		err = errors.Join(err, failed)
	}
	return err
}

// put makes the task's doorbell one in a state of asynq's, of which many are no states that ours get into by themselves.
// One that is active was taken by a worker that has died since, except where the task is processing.
func (w *house) put(ref refcache.Ref, state string) {
	w.Helper()
	ctx, id := w.Context(), string(ref)
	w.Redis.LRem(ctx, asynqPrefix+"pending", 0, id)
	w.Redis.LRem(ctx, asynqPrefix+"active", 0, id)
	for _, set := range []string{"lease", "scheduled", "retry", "archived", "completed"} {
		w.Redis.ZRem(ctx, asynqPrefix+set, id)
	}
	w.Redis.Del(ctx, asynqPrefix+"t:"+id)
	if state == "gone" {
		return
	}
	_, err := asynq.NewClientFromRedisClient(w.Redis).Enqueue(asynq.NewTask("work", []byte(ref)), asynq.TaskID(id), asynq.MaxRetry(4))
	require.NoError(w, err)
	if state == "pending" {
		return
	}
	w.Redis.LRem(ctx, asynqPrefix+"pending", 0, id)
	w.Redis.HSet(ctx, asynqPrefix+"t:"+id, "state", state)
	at := func(d time.Duration) redis.Z { return redis.Z{Score: float64(time.Now().Add(d).Unix()), Member: id} }
	switch state {
	case "active":
		w.Redis.LPush(ctx, asynqPrefix+"active", id)
		w.Redis.ZAdd(ctx, asynqPrefix+"lease", at(30*time.Second))
	case "scheduled", "retry":
		w.Redis.ZAdd(ctx, asynqPrefix+state, at(retryWait))
	case "archived":
		w.Redis.ZAdd(ctx, asynqPrefix+state, at(0))
	case "completed":
		w.Redis.ZAdd(ctx, asynqPrefix+state, at(time.Hour))
	}
}

// meddled is a task of which somebody presses a button: the name says its status, and the state of its doorbell.
type meddled struct {
	name   string
	ref    refcache.Ref
	status refcache.Status
	state  string
	before refcache.TaskInfo
	ran    int        // attempts before the button is pressed
	waited chan error // what somebody who waits for the end is told
}

// meddling is what happens to the tasks of a test, one for each status and state.
type meddling struct {
	*house
	asynq *asynq.Inspector
	tasks []*meddled
	begin chan bool // closed when somebody presses

	mu   sync.Mutex
	runs map[string][]time.Time // by the task's name
}

// run is what all the tasks do: what their status asks for, and then work for a while.
func (m *meddling) run(ctx context.Context, name string) (string, error) {
	m.mu.Lock()
	m.runs[name] = append(m.runs[name], time.Now())
	attempt := len(m.runs[name])
	m.mu.Unlock()
	switch status, _, _ := strings.Cut(name, "/"); refcache.Status(status) {
	case refcache.Retrying:
		if attempt == 1 {
			return "", worker.RetryAfter(errDown, retryWait)
		}
	case refcache.Failed:
		return "", worker.Permanent(errDown)
	case refcache.Cancelled:
		return untilEnd(ctx, 1)
	case refcache.Processing:
		<-m.begin
	case refcache.Complete:
		return "done", nil
	}
	time.Sleep(workTime)
	return "done", ctx.Err()
}

func (m *meddling) starts(name string) []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runs[name]
}

// reach brings a task for each state of a doorbell into a status.
func (m *meddling) reach(status refcache.Status, states string) {
	m.Helper()
	from := len(m.tasks)
	for state := range strings.FieldsSeq(states) {
		name := string(status) + "/" + state
		m.tasks = append(m.tasks, &meddled{name: name, ref: m.submit(work, name), status: status, state: state, waited: make(chan error, 1)})
	}
	for _, task := range m.tasks[from:] {
		if status == refcache.Cancelled {
			m.await(task.ref, refcache.Processing)
			m.cancel(task.ref)
		}
		m.await(task.ref, status)
		go func() {
			_, err := producerWait(m.house, work, task.ref)
			task.waited <- err
		}()
	}
}

// reachAll brings tasks into every status, and stops the answering of doorbells.
func (m *meddling) reachAll(states string) {
	m.Helper()
	m.Start(worker.Config{Concurrency: 100}, world.Handles(work, m.run))
	for _, status := range []refcache.Status{refcache.Complete, refcache.Failed, refcache.Cancelled, refcache.Processing, refcache.Retrying} {
		m.reach(status, states)
	}
	require.NoError(m, m.asynq.PauseQueue("default"))
	m.reach(refcache.Pending, states)
	for _, task := range m.tasks {
		task.before, task.ran = m.info(task.ref), len(m.starts(task.name))
		if task.status != refcache.Processing || task.state != "active" { // else it is
			m.put(task.ref, task.state)
		}
	}
}

func TestNoButtonOfAsynqsToolsChangesAnOutcome(t *testing.T) {
	testkit.Long(t)
	for name, button := range buttons {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(w *house) {
				m := &meddling{house: w, asynq: asynq.NewInspectorFromRedisClient(w.Redis), begin: make(chan bool), runs: map[string][]time.Time{}}
				m.reachAll(button.states)
				for _, task := range m.tasks {
					err := button.press(m.asynq, string(task.ref))
					require.Equal(w, strings.Contains(button.works, task.state), err == nil, "%s: %v", task.name, err)
					if button.all {
						break
					}
				}
				close(m.begin)
				require.NoError(w, m.asynq.UnpauseQueue("default"))
				m.endAsIfNobodyHadPressed(time.Now())
			})
		})
	}
}

// endAsIfNobodyHadPressed checks the end of all tasks: once, in time, at no cost.
func (m *meddling) endAsIfNobodyHadPressed(pressed time.Time) {
	m.Helper()
	ends := map[refcache.Ref]refcache.TaskInfo{}
	for _, task := range m.tasks {
		want := task.status
		if want.InFlight() {
			want = refcache.Complete
		}
		ends[task.ref] = m.await(task.ref, want)
	}
	time.Sleep(time.Second)
	for _, task := range m.tasks {
		select {
		case err := <-task.waited:
			require.Equal(m, ends[task.ref].Status == refcache.Complete, err == nil, "%s: %v", task.name, err)
		default:
			require.Fail(m, "the waiter was not told", task.name)
		}
	}
	time.Sleep(2 * time.Minute) // whatever may still come, and asynq gives up doorbells that nobody answers
	for _, task := range m.tasks {
		m.judge(task, pressed, ends[task.ref])
	}
	m.asynqIsAtRest()
}

func (m *meddling) judge(task *meddled, pressed time.Time, end refcache.TaskInfo) {
	m.Helper()
	starts, after := m.starts(task.name), m.info(task.ref)
	switch task.status {
	case refcache.Pending:
		require.Len(m, starts, 1, task.name)
		require.LessOrEqual(m, starts[0].Sub(pressed), mended, task.name)
	case refcache.Retrying:
		require.Len(m, starts, 2, task.name)
		require.False(m, starts[1].Before(*task.before.NextRetryAt), "%s is early", task.name)
		require.LessOrEqual(m, min(starts[1].Sub(*task.before.NextRetryAt), starts[1].Sub(pressed)), mended, task.name)
	default:
		require.Len(m, starts, task.ran, task.name)
	}
	require.Equal(m, end, after, "%s: it changed after its end", task.name)
	same := func(i refcache.TaskInfo) []int {
		return []int{i.RetryCount, i.AttemptsTotal, i.EventsTotal, i.LostCount, i.Cycle}
	}
	require.Equal(m, same(task.before), same(after), "%s: retries, attempts, events, losses, cycle", task.name)
}

// asynqIsAtRest checks that asynq holds nothing but what it keeps for people.
func (m *meddling) asynqIsAtRest() {
	m.Helper()
	info, err := m.asynq.GetQueueInfo("default")
	require.NoError(m, err)
	require.Equal(m, []int{0, 0, 0, 0}, []int{info.Pending, info.Active, info.Scheduled, info.Retry}, "pending, active, scheduled, retry")
	require.Zero(m, m.Redis.Exists(m.Context(), asynqPrefix+"lease").Val())
}
