package producer_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func recordOf(ref refcache.Ref) string { return "refq:{" + ref.Queue() + "}:t:" + ref.Hash() }

// operations are all that can be asked about a task, but to delete it.
func (w *world) operations(ref refcache.Ref, in string) map[string]error {
	ctx := w.Context()
	second := func(_ any, err error) error { return err }
	return map[string]error{
		"Submit": second(producer.Submit(ctx, w.p, echo, in)), "Call": second(w.call(echo, in)),
		"Refresh": second(w.call(echo, in, producer.Refresh(), producer.RetryFailed())),
		"Get":     second(w.p.Get(ctx, ref)), "GetOf": second(producer.Get(ctx, w.p, echo, ref)),
		"Wait": second(producer.Wait(ctx, w.p, echo, ref)), "TaskInfo": second(w.p.Info(ctx, ref)),
		"RetryTask": second(w.a.Retry(ctx, ref)), "FreshBudget": second(w.a.Retry(ctx, ref, admin.FreshBudget())), "Task": second(w.a.Task(ctx, ref)),
		"Cancel": w.p.Cancel(ctx, ref),
	}
}

func TestEveryOperationOnADamagedTaskNamesItTheDamageAndTheWayOut(t *testing.T) {
	testkit.Long(t)
	inWorld(t, func(w *world) {
		fn := &script{}
		w.start(fn.of(echo))
		ctx := w.Context()
		for n, c := range []struct {
			complaint string
			damage    func(key string) error
		}{
			{"its key holds no hash", func(key string) error { return w.rdb.Set(ctx, key, "x", 0).Err() }},
			{"its key holds no hash", func(key string) error { return w.rdb.RPush(ctx, key, "x").Err() }},
			{"its key holds no hash", func(key string) error { return w.rdb.SAdd(ctx, key, "x").Err() }},
			{"state is missing", func(key string) error { return storetest.Set(ctx, w.rdb, key, "func", "echo") }},
			{`status is "resting", not a status`, func(key string) error { return storetest.Set(ctx, w.rdb, key, "status", "resting") }},
			{"policy is missing", func(key string) error { return storetest.Set(ctx, w.rdb, key, "status", "pending", "created_at", 1) }},
			{`cycle is "9999999999999999", not a whole number`, func(key string) error {
				return storetest.Set(ctx, w.rdb, key, "status", "complete", "cycle", "9999999999999999")
			}},
		} {
			in := fmt.Sprint(n)
			ref := w.submit(echo, in)
			_, err := producer.Wait(ctx, w.p, echo, ref)
			require.NoError(w, err)
			w.rdb.Del(ctx, recordOf(ref))
			require.NoError(w, c.damage(recordOf(ref)))
			want := fmt.Sprintf("record of %s is damaged: %s; refq delete %s removes it", ref, c.complaint, ref)
			for operation, err := range w.operations(ref, in) {
				require.EqualError(w, err, want, operation)
			}

			require.NoError(w, w.p.Delete(ctx, ref))
			require.ErrorIs(w, w.p.Delete(ctx, ref), refcache.ErrTaskNotFound)
			res, err := w.call(echo, in)
			require.NoError(w, err)
			require.Equal(w, in+"!", res.Value)
		}
	})
}

func TestRunningTaskThatIsDamagedCanBeDeleted(t *testing.T) {
	inWorld(t, func(w *world) {
		fn := &script{hold: make(chan struct{})}
		w.start(fn.of(echo))
		ref := w.submit(echo, "in")
		w.until(ref, refcache.Processing)
		require.NoError(w, storetest.Set(w.Context(), w.rdb, recordOf(ref), "cycle", "one"))
		require.NoError(w, w.p.Delete(w.Context(), ref))
		time.Sleep(5 * time.Second) // the attempt is told at its worker's next beat
		close(fn.hold)
		res, err := w.call(echo, "in")
		require.NoError(w, err)
		require.Equal(w, 1, res.Attempt)
		require.EqualValues(w, 2, fn.runs.Load())
	})
}

func TestWaiterHearsThatTheRecordWasDamaged(t *testing.T) {
	inWorld(t, func(w *world) {
		ref := w.submit(echo, "in")
		ended := w.waitFor(ref)
		time.Sleep(10 * time.Second)
		require.NoError(w, storetest.Set(w.Context(), w.rdb, recordOf(ref), "delivery", "first"))
		damaged := time.Now()
		require.ErrorContains(w, <-ended, `delivery is "first", not a whole number`)
		require.LessOrEqual(w, time.Since(damaged), 2*time.Second)
	})
}

func TestNewerRecordIsRefusedByEveryOperationAndKept(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start((&script{}).of(echo))
		ref := w.submit(echo, "in")
		w.until(ref, refcache.Complete)
		require.NoError(w, storetest.Set(w.Context(), w.rdb, recordOf(ref), "v", 2, "completed_at", "2026-11-25", "result_encoding", "brotli"))
		before := w.rdb.HGetAll(w.Context(), recordOf(ref)).Val()
		want := fmt.Sprintf("record of %s has version 2: written by a newer refq, update this one", ref)
		for operation, err := range w.operations(ref, "in") {
			require.EqualError(w, err, want, operation)
		}
		require.EqualError(w, w.p.Delete(w.Context(), ref), want)
		require.Equal(w, before, w.rdb.HGetAll(w.Context(), recordOf(ref)).Val())
	})
}

func TestResultThatCannotBeReadIsNamedAndCanBeMadeAnew(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start((&script{}).of(echo))
		long := string(bytes.Repeat([]byte("x"), 4000))
		ref := w.submit(echo, long)
		w.until(ref, refcache.Complete)
		packed := w.rdb.HGet(w.Context(), recordOf(ref), "result").Val()
		for name, c := range map[string]struct{ result, encoding, complaint string }{
			"truncated":        {packed[:len(packed)/2], "zstd", "unpack result: "},
			"no zstd":          {"garbage", "zstd", "unpack result: "},
			"unknown encoding": {packed, "lzma\x00", `unpack result: unknown encoding "lzma\x00"`},
			"not JSON":         {"<html>", "", "does not fit"},
			"two values":       {"1 2", "", "does not fit"},
			"invalid UTF-8":    {"\"\xff\"", "", "invalid UTF-8"},
			"empty":            {"", "", "does not fit"},
		} {
			w.rdb.HSet(w.Context(), recordOf(ref), "result", c.result, "result_encoding", c.encoding)
			for _, operation := range []string{"Get", "GetOf", "Wait", "Call"} {
				err := w.operationOn(ref, long, operation)
				require.ErrorContains(w, err, c.complaint, "%s of %s", operation, name)
				require.ErrorContains(w, err, string(ref))
			}
			require.Equal(w, refcache.Complete, w.info(ref).Status, "who does not need it is not troubled")

			res, err := w.call(echo, long, producer.Refresh())
			require.NoError(w, err, name)
			require.Equal(w, long+"!", res.Value)
		}
	})
}

func (w *world) operationOn(ref refcache.Ref, in, operation string) error {
	var err error
	switch operation {
	case "Get":
		_, err = w.p.Get(w.Context(), ref)
	case "GetOf":
		_, err = producer.Get(w.Context(), w.p, echo, ref)
	case "Wait":
		_, err = producer.Wait(w.Context(), w.p, echo, ref)
	default:
		_, err = w.call(echo, in)
	}
	return err
}
