package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

type visit struct {
	Host   string `json:"host"`
	Tenant int    `json:"tenant"`
}

var maps = refcache.Gate{Name: "maps", Each: 5, Rate: refcache.Rate{N: 20}}

// unconnected is a worker that does not run.
func unconnected(t *testing.T) *worker.Worker {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:0"})
	t.Cleanup(func() { _ = rdb.Close() })
	return worker.New(rdb, worker.Config{})
}

func nothing[In any](context.Context, In) (int, error) { return 0, nil }

func TestWorkersComputeTheTurnsOfTheirFunctions(t *testing.T) {
	t.Parallel()
	w := unconnected(t)
	byFunc := refcache.Func[visit, int]{Name: "func", Gate: maps, Turn: func(in visit) refcache.Turn {
		switch in.Host {
		case "panics":
			panic("no turn")
		case "ends":
			runtime.Goexit()
		case "late":
			return refcache.Turn{Ahead: 25 * time.Hour}
		}
		return refcache.Turn{Key: in.Host, Share: fmt.Sprint(in.Tenant), Ahead: time.Minute}
	}}
	worker.Handle(w, byFunc, nothing)
	worker.Handle(w, refcache.Func[json.RawMessage, int]{Name: "fields", Gate: maps,
		TurnFields: refcache.TurnFields{Key: []string{"/host"}, Share: []string{"/tenant"}, Ahead: time.Minute}}, nothing)
	worker.Handle(w, refcache.Func[json.RawMessage, int]{Name: "gate", Gate: maps}, nothing)
	worker.Handle(w, refcache.Func[visit, int]{Name: "none"}, nothing)

	const args = `{"host":"a b","tenant":1e+3}`
	for name, want := range map[string]store.Turn{"func": store.NewTurn("maps", "a b", "1000", time.Minute),
		"fields": store.NewTurn("maps", "a b", "1000", time.Minute), "gate": {Gate: "maps"}, "none": {}, "unknown": {}} {
		turn, err := w.TurnOf(name, []byte(args))
		require.NoError(t, err)
		require.Equal(t, want, turn, name)
	}
	for text, want := range map[string]string{
		`{"host":"panics","tenant":1}`: "turn of func@1 panicked: no turn\n\ngoroutine ",
		`{"host":"ends","tenant":1}`:   "turn of func@1 ended its goroutine",
		`{"host":"late","tenant":1}`:   "turn of func@1: ahead is 25h0m0s, must be 0 to 24h0m0s",
		`{"host":7,"tenant":1}`:        "arguments do not fit func@1: ",
	} {
		_, err := w.TurnOf("func", []byte(text))
		require.ErrorContains(t, err, want)
		require.True(t, worker.IsPermanent(err), text)
	}
	_, err := w.TurnOf("func", []byte(`{"host":"h","tenant":1,"new":2}`))
	require.True(t, worker.Lacks(err), "a worker that knows the member can tell")
	_, err = w.TurnOf("fields", []byte(`{"host":"h","new":2}`))
	require.NoError(t, err)
}

func TestFunctionsOfAGateShareItsQueueAndNumbers(t *testing.T) {
	t.Parallel()
	w := unconnected(t)
	worker.Handle(w, refcache.Func[int, int]{Name: "a", Gate: maps}, nothing)
	worker.Handle(w, refcache.Func[int, int]{Name: "b", Gate: maps}, nothing)
	worker.Handle(w, refcache.Func[int, int]{Name: "c", Queue: "q", Gate: refcache.Gate{Name: "disk", All: 3}}, nothing)
	worker.Handle(w, refcache.Func[int, int]{Name: "d"}, nothing)
	require.PanicsWithValue(t, "worker.Handle: functions c@1 and e@1 share gate disk: their queues are q and default, must be one", func() {
		worker.Handle(w, refcache.Func[int, int]{Name: "e", Gate: refcache.Gate{Name: "disk", All: 3}}, nothing)
	})
	require.PanicsWithValue(t, "worker.Handle: functions c@1 and e@1 share gate disk: its numbers are "+
		"{each: 0, all: 3, rate: 0 in 0s, burst: 0, most_waiting: 0} and {each: 0, all: 4, rate: 0 in 0s, burst: 0, most_waiting: 0}, must be the same", func() {
		worker.Handle(w, refcache.Func[int, int]{Name: "e", Queue: "q", Gate: refcache.Gate{Name: "disk", All: 4}}, nothing)
	})
	require.Equal(t, map[string]store.GateNumbers{"maps": {Each: 5, All: store.AllSlots, Interval: 50 * time.Millisecond, Burst: 1}}, w.GatesOf("default"))
	require.Equal(t, map[string]store.GateNumbers{"disk": {All: 3}}, w.GatesOf("q"))
	require.Empty(t, w.GatesOf("other"))
}

func TestUnavailableClosesTheKeyOfACallWithATurn(t *testing.T) {
	t.Parallel()
	w := unconnected(t)
	task := store.Record{Turn: store.Turn{Gate: "maps", Key: "h"}}
	busy := errors.New("429")
	for want, err := range map[time.Duration]error{
		20 * time.Second:       fmt.Errorf("ask: %w", worker.Unavailable(busy, 20*time.Second)),
		100 * time.Millisecond: worker.Unavailable(busy, -1),
		24 * time.Hour:         worker.Unavailable(refcache.Coded("busy", busy), 25*time.Hour),
		time.Second:            worker.RetryAfter(worker.Unavailable(busy, time.Second), time.Hour),
	} {
		require.Equal(t, store.UnavailableFor(err.Error(), want, worker.IDOf(w)), w.OutcomeOf(task, err))
		require.ErrorIs(t, err, busy)
	}
	permanent := worker.Permanent(worker.Unavailable(busy, time.Second))
	require.Equal(t, store.Errored(store.Failure{Error: "429", Cause: refcache.CauseError, Permanent: true}), w.OutcomeOf(task, permanent), "no wait would mend it")
	require.NoError(t, worker.Unavailable(nil, time.Second))
}

func TestUnavailableWithoutAGateIsARetry(t *testing.T) {
	inHouse(t, func(w *house) {
		busy := &runs{fn: func(context.Context, int) (string, error) {
			return "", worker.Unavailable(errors.New("503"), 7*time.Second)
		}}
		w.Start(worker.Config{}, world.Handles(work, busy.run))
		f := work
		f.Retry = refcache.RetryPolicy{MaxRetries: 1}
		f.AsyncTimeout = 2 * time.Second
		res, err := w.call(f, "in")
		require.NoError(w, err)
		require.Equal(w, refcache.Retrying, res.Status)
		info := w.info(res.RefID)
		require.Equal(w, "unavailable, but the call has no gate: waiting for that costs a retry", info.Note)
		require.Equal(w, 7*time.Second, info.RetryHistory[0].Delay)

		f.AsyncTimeout = time.Minute
		_, err = w.call(f, "in")
		require.True(w, failed(w, err).Exhausted)
		require.Equal(w, 2, busy.count())
	})
}
