package producer_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func recordOf(ref refcache.Ref) string { return "refq:{" + ref.Queue() + "}:t:" + ref.Hash() }

// operations are all that can be asked about a task, but to delete it.
func (w *office) operations(ref refcache.Ref, in string) map[string]error {
	ctx := w.Context()
	second := func(_ any, err error) error { return err }
	return map[string]error{
		"Submit": second(producer.Submit(ctx, w.P, kit.Echo, in)), "Call": second(w.Call(kit.Echo, in)),
		"Refresh": second(w.Call(kit.Echo, in, producer.Refresh(), producer.RetryFailed())),
		"Get":     second(w.P.Get(ctx, ref)), "GetOf": second(producer.Get(ctx, w.P, kit.Echo, ref)),
		"Wait": second(producer.Wait(ctx, w.P, kit.Echo, ref)), "TaskInfo": second(w.P.Info(ctx, ref)),
		"RetryTask": second(w.A.Retry(ctx, ref)), "FreshBudget": second(w.A.Retry(ctx, ref, admin.FreshBudget())), "Task": second(w.A.Task(ctx, ref)),
		"Cancel": w.P.Cancel(ctx, ref),
	}
}

func TestEveryOperationOnADamagedTaskNamesItTheDamageAndTheWayOut(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		fn := &kit.Script{}
		w.Work(fn.Of(kit.Echo))
		ctx := w.Context()
		for n, c := range []struct {
			complaint string
			damage    func(key string) error
		}{
			{"its key holds no hash", func(key string) error { return w.Redis.Set(ctx, key, "x", 0).Err() }},
			{"its key holds no hash", func(key string) error { return w.Redis.RPush(ctx, key, "x").Err() }},
			{"its key holds no hash", func(key string) error { return w.Redis.SAdd(ctx, key, "x").Err() }},
			{"state is missing", func(key string) error { return storetest.Set(ctx, w.Redis, key, "func", "echo") }},
			{`status is "resting", not a status`, func(key string) error { return storetest.Set(ctx, w.Redis, key, "status", "resting") }},
			{"policy is missing", func(key string) error { return storetest.Set(ctx, w.Redis, key, "status", "pending", "created_at", 1) }},
			{`cycle is "9999999999999999", not a whole number`, func(key string) error {
				return storetest.Set(ctx, w.Redis, key, "status", "complete", "cycle", "9999999999999999")
			}},
		} {
			in := fmt.Sprint(n)
			ref := w.Submit(kit.Echo, in)
			_, err := producer.Wait(ctx, w.P, kit.Echo, ref)
			require.NoError(w, err)
			w.Redis.Del(ctx, recordOf(ref))
			require.NoError(w, c.damage(recordOf(ref)))
			want := fmt.Sprintf("record of %s is damaged: %s; refq delete %s removes it", ref, c.complaint, ref)
			for operation, err := range w.operations(ref, in) {
				require.EqualError(w, err, want, operation)
			}

			require.NoError(w, w.P.Delete(ctx, ref))
			require.ErrorIs(w, w.P.Delete(ctx, ref), refcache.ErrTaskNotFound)
			res, err := w.Call(kit.Echo, in)
			require.NoError(w, err)
			require.Equal(w, in+"!", res.Value)
		}
	})
}

func TestRunningTaskThatIsDamagedCanBeDeleted(t *testing.T) {
	inOffice(t, func(w *office) {
		fn := &kit.Script{Hold: make(chan struct{})}
		w.Work(fn.Of(kit.Echo))
		ref := w.Submit(kit.Echo, "in")
		w.Until(ref, refcache.Processing)
		require.NoError(w, storetest.Set(w.Context(), w.Redis, recordOf(ref), "cycle", "one"))
		require.NoError(w, w.P.Delete(w.Context(), ref))
		time.Sleep(5 * time.Second) // the attempt is told at its worker's next beat
		close(fn.Hold)
		res, err := w.Call(kit.Echo, "in")
		require.NoError(w, err)
		require.Equal(w, 1, res.Attempt)
		require.EqualValues(w, 2, fn.Runs.Load())
	})
}

func TestWaiterHearsThatTheRecordWasDamaged(t *testing.T) {
	inOffice(t, func(w *office) {
		ref := w.Submit(kit.Echo, "in")
		ended := w.WaitFor(ref)
		time.Sleep(10 * time.Second)
		require.NoError(w, storetest.Set(w.Context(), w.Redis, recordOf(ref), "delivery", "first"))
		damaged := time.Now()
		require.ErrorContains(w, <-ended, `delivery is "first", not a whole number`)
		require.LessOrEqual(w, time.Since(damaged), 2*time.Second)
	})
}

func TestNewerRecordIsRefusedByEveryOperationAndKept(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Work((&kit.Script{}).Of(kit.Echo))
		ref := w.Submit(kit.Echo, "in")
		w.Until(ref, refcache.Complete)
		require.NoError(w, storetest.Set(w.Context(), w.Redis, recordOf(ref), "v", store.RecordVersion+1, "completed_at", "2026-11-25", "result_encoding", "brotli"))
		before := w.Redis.HGetAll(w.Context(), recordOf(ref)).Val()
		want := fmt.Sprintf("record of %s has version %d: written by a newer refq, update this one", ref, store.RecordVersion+1)
		for operation, err := range w.operations(ref, "in") {
			require.EqualError(w, err, want, operation)
		}
		require.EqualError(w, w.P.Delete(w.Context(), ref), want)
		require.Equal(w, before, w.Redis.HGetAll(w.Context(), recordOf(ref)).Val())
	})
}

func TestResultThatCannotBeReadIsNamedAndCanBeMadeAnew(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Work((&kit.Script{}).Of(kit.Echo))
		long := string(bytes.Repeat([]byte("x"), 4000))
		ref := w.Submit(kit.Echo, long)
		w.Until(ref, refcache.Complete)
		packed := w.Redis.HGet(w.Context(), recordOf(ref), "result").Val()
		for name, c := range map[string]struct{ result, encoding, complaint string }{
			"truncated":        {packed[:len(packed)/2], "zstd", "unpack result: "},
			"no zstd":          {"garbage", "zstd", "unpack result: "},
			"unknown encoding": {packed, "lzma\x00", `unpack result: unknown encoding "lzma\x00"`},
			"not JSON":         {"<html>", "", "does not fit"},
			"two values":       {"1 2", "", "does not fit"},
			"invalid UTF-8":    {"\"\xff\"", "", "invalid UTF-8"},
			"empty":            {"", "", "does not fit"},
		} {
			w.Redis.HSet(w.Context(), recordOf(ref), "result", c.result, "result_encoding", c.encoding)
			for _, operation := range []string{"Get", "GetOf", "Wait", "Call"} {
				err := w.operationOn(ref, long, operation)
				require.ErrorContains(w, err, c.complaint, "%s of %s", operation, name)
				require.ErrorContains(w, err, string(ref))
			}
			require.Equal(w, refcache.Complete, w.Info(ref).Status, "who does not need it is not troubled")

			res, err := w.Call(kit.Echo, long, producer.Refresh())
			require.NoError(w, err, name)
			require.Equal(w, long+"!", res.Value)
		}
	})
}

func (w *office) operationOn(ref refcache.Ref, in, operation string) error {
	var err error
	switch operation {
	case "Get":
		_, err = w.P.Get(w.Context(), ref)
	case "GetOf":
		_, err = producer.Get(w.Context(), w.P, kit.Echo, ref)
	case "Wait":
		_, err = producer.Wait(w.Context(), w.P, kit.Echo, ref)
	default:
		_, err = w.Call(kit.Echo, in)
	}
	return err
}
