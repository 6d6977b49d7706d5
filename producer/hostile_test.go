package producer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// raw hands its arguments back as they arrive.
var raw = refcache.Func[json.RawMessage, json.RawMessage]{Name: "raw", AsyncTimeout: kit.Echo.AsyncTimeout}

func handleRaw(w *worker.Worker) {
	worker.Handle(w, raw, func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil })
}

// nested is a Go value of that depth.
func nested(depth int) any {
	var v any = "deep"
	for range depth {
		v = []any{v}
	}
	return v
}

type list struct {
	Next *list `json:"next"`
}

func TestHostileArgumentsAreRefusedWithTheCauseAndLeaveNothingBehind(t *testing.T) {
	inOffice(t, func(w *office) {
		const deepest = "nested deeper than 1000 at byte "
		for text, want := range map[string]string{
			strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000):           deepest + "1000",
			strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000): deepest + "5000",
			strings.Repeat("[", 100_000):                                        "depth", // what no parser takes
			"\"\xff\"":                                                          "invalid UTF-8",
			"{\"\xc3\":1}":                                                      "invalid UTF-8",
			"\"\x00\"":                                                          `invalid character '\x00' in string`,
			"\x00":                                                              `invalid character '\x00'`,
			"\"\x1b[31m\"":                                                      `invalid character '\x1b' in string`,
			`"\ud800"`:                                                          "invalid surrogate pair",
			`1e10000`:                                                           "number with an exponent beyond ±9999 at byte 0",
			`[1e-99999999999999999999]`:                                         "number with an exponent beyond ±9999 at byte 1",
			`{"a":1,"b":{"c":1,"\u0063":2}}`:                                    `duplicate key "c" at byte 18`,
			`NaN`:                                                               "invalid character 'N'",
			`1 2`:                                                               "after top-level value",
			``:                                                                  "unexpected end",
		} {
			_, err := producer.Submit(w.Context(), w.P, raw, json.RawMessage(text))
			require.ErrorContains(w, err, "call raw: ", "%.40q", text)
			require.ErrorContains(w, err, want, "%.40q", text)
			require.Less(w, len(err.Error()), 300)
		}

		cycle := &list{}
		cycle.Next = cycle
		values := refcache.Func[any, any]{Name: "values"}
		for name, in := range map[string]any{
			"deep": nested(10_000), "cycle": cycle, "NaN": math.NaN(), "infinity": math.Inf(-1), "channel": make(chan int),
			"function": func() {}, "invalid UTF-8": "caf\xc3", "invalid key": map[string]int{"\xff": 1},
		} {
			_, err := producer.Call(w.Context(), w.P, values, in)
			require.ErrorContains(w, err, "call values: ", name)
		}
		keys, err := w.Redis.Keys(w.Context(), "*").Result()
		require.NoError(w, err)
		require.Empty(w, keys)
	})
}

func TestOddButValidArgumentsAreAnsweredAsTheyAre(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Work(handleRaw)
		digits := strings.Repeat("9", 40)
		for text, want := range map[string]string{
			`"\u0000\u001b[31m\u202e"`: "\"\\u0000\\u001b[31m\u202e\"",
			"{\"\\u0000\":\"\x7f\"}":   "{\"\\u0000\":\"\x7f\"}",
			`1e9999`:                   "1e+9999", `-1E-9999`: "-1e-9999", digits: digits,
			strings.Repeat("9", 100_000):                          "", // whose power is beyond what is taken
			strings.Repeat("7", 9_999):                            "7." + strings.Repeat("7", 9_998) + "e+9998",
			strings.Repeat("[", 1000) + strings.Repeat("]", 1000): strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
		} {
			res, err := producer.Call(w.Context(), w.P, raw, json.RawMessage(text))
			if want == "" {
				require.ErrorContains(w, err, "number with an exponent beyond ±9999")
				continue
			}
			require.NoError(w, err, "%.40q", text)
			require.Equal(w, want, string(res.Value))
		}
	})
}

func TestArgumentsOfExactlyTheLimitAreTaken(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Work(handleRaw)
		for _, most := range []int{2, 1000, 1 << 20} {
			p := w.NewProducer(producer.Config{MaxArgs: most})
			at := json.RawMessage(`"` + strings.Repeat("x", most-2) + `"`)
			res, err := producer.Call(w.Context(), p, raw, at)
			require.NoError(w, err)
			require.Equal(w, len(at), len(res.Value))
			records := func() int { return len(w.Redis.Keys(w.Context(), "refq:*:t:*").Val()) }
			stored := records()

			over := json.RawMessage(`"` + strings.Repeat("x", most-1) + `"`)
			_, err = producer.Call(w.Context(), p, raw, over)
			require.ErrorIs(w, err, refcache.ErrArgsTooLarge)
			require.EqualError(w, err, fmt.Sprintf("call raw: arguments are too large: %d bytes, more than max_args %d; pass a reference to large data", most+1, most))
			_, err = producer.Submit(w.Context(), p, raw, over)
			require.ErrorIs(w, err, refcache.ErrArgsTooLarge)
			require.Equal(w, stored, records())
		}
		_, err := producer.Submit(w.Context(), w.NewProducer(producer.Config{MaxArgs: -1}), raw, json.RawMessage(`1`))
		require.ErrorIs(w, err, refcache.ErrArgsTooLarge, "none is small enough")
	})
}

// references sends a ref_id to all that takes one.
func (w *office) references(ref refcache.Ref) map[string]error {
	ctx := w.Context()
	second := func(_ any, err error) error { return err }
	return map[string]error{
		"Get": second(w.P.Get(ctx, ref)), "GetAs": second(producer.Get(ctx, w.P, kit.Echo, ref)),
		"Wait": second(producer.Wait(ctx, w.P, kit.Echo, ref)), "p.Wait": second(w.P.Wait(ctx, ref)),
		"TaskInfo": second(w.P.Info(ctx, ref)), "RetryTask": second(w.P.Retry(ctx, ref)),
		"Cancel": w.P.Cancel(ctx, ref), "Delete": w.P.Delete(ctx, ref),
	}
}

// Each byte at each kind of place: it is either a ref_id of nobody's task, or none, about which Redis is not asked.
func TestRefsWithEveryByteAreRefusedOrNotFoundByEveryOperation(t *testing.T) {
	testkit.Long(t)
	inOffice(t, func(w *office) {
		const queue, hash = "media", "0123456789abcdef0123456789abcde"
		asked := 0
		w.Server.SetFaults(func([]string) memredis.Fault { asked++; return memredis.Pass })
		for i := range testkit.Rounds(256) {
			char := string([]byte{byte(i * 37)}) // each byte once: 37 is odd
			for _, text := range []string{
				char + queue + ":" + hash + "0", queue + char + ":" + hash + "0", queue + char + hash + "0", queue + ":" + hash + char,
				queue + ":" + char + hash, queue + ":" + hash + "0" + char,
			} {
				_, valid := refcache.ParseRef(text)
				before := asked
				for operation, err := range w.references(refcache.Ref(text)) {
					if valid == nil {
						require.ErrorIs(w, err, refcache.ErrTaskNotFound, "%s of %q", operation, text)
						continue
					}
					require.ErrorIs(w, err, refcache.ErrInvalidRef, "%s of %q", operation, text)
					require.NotRegexp(w, `[\x00-\x1f\x7f]|\xff`, err.Error(), "it is safe to print")
				}
				require.Equal(w, valid == nil, asked > before, "%q", text)
			}
		}
		keys, err := w.Redis.Keys(w.Context(), "*").Result()
		require.NoError(w, err)
		require.Empty(w, keys)
	})
}

func TestTaskOfAQueueThatNobodyServesCanBeLookedAtCancelledAndDeleted(t *testing.T) {
	inOffice(t, func(w *office) {
		w.Work((&kit.Script{}).Of(kit.Echo))
		lonely := kit.Echo
		lonely.Queue, lonely.AsyncTimeout = "No.body-serves_this", -1
		res, err := w.Call(lonely, "in")
		require.NoError(w, err)
		require.True(w, res.IsAsync)
		require.Equal(w, refcache.Pending, w.Info(res.RefID).Status)
		_, err = w.P.Retry(w.Context(), res.RefID)
		require.ErrorIs(w, err, refcache.ErrNotFailed)
		require.ErrorIs(w, w.P.Delete(w.Context(), res.RefID), refcache.ErrInFlight)
		require.NoError(w, w.P.Cancel(w.Context(), res.RefID))
		require.NoError(w, w.P.Delete(w.Context(), res.RefID))
	})
}
