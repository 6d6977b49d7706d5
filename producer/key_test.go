package producer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/codec"
	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

type page struct {
	URL  string `json:"url"`
	Size int    `json:"size"`
}

// sized answers the arguments that it ran with.
func sized(runs *atomic.Int32) func(*worker.Worker) {
	return kit.Handles(refcache.Func[page, page]{Name: "page"}, func(_ context.Context, in page) (page, error) {
		runs.Add(1)
		return in, nil
	})
}

func TestCallsOfOneKeyAreOneCall(t *testing.T) {
	byURL := func(in page) string { return in.URL }
	for name, f := range map[string]refcache.Func[page, page]{"func": {Name: "page", Key: byURL}, "fields": {Name: "page", KeyFields: []string{"/url"}}} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(w *office) {
				var runs atomic.Int32
				w.Work(sized(&runs))
				call := func(size int, options ...producer.CallOption) page {
					out, err := producer.Do(w.Context(), w.P, f, page{"u", size}, options...)
					require.NoError(w, err)
					return out
				}
				require.Equal(w, page{"u", 1}, call(1))
				require.Equal(w, page{"u", 1}, call(2), "that of the call that started it")
				require.Equal(w, page{"u", 3}, call(3, producer.Refresh()), "a new life has its own arguments")
				require.EqualValues(w, 2, runs.Load())
				other, err := producer.Do(w.Context(), w.P, f, page{"v", 1})
				require.NoError(w, err)
				require.Equal(w, page{"v", 1}, other)

				ref, err := producer.Submit(w.Context(), w.P, f, page{"u", 9})
				require.NoError(w, err)
				task, err := w.AdminAs("ann").Task(w.Context(), ref)
				require.NoError(w, err)
				require.JSONEq(w, `{"size":3,"url":"u"}`, string(task.Args))
			})
		})
	}
}

func TestOtherArgumentsOfATakenKeyAreRefused(t *testing.T) {
	inOffice(t, func(w *office) {
		f := refcache.Func[page, page]{Name: "page", KeyFields: []string{"/url"}, KeyConflict: refcache.KeyRefuse}
		ref, err := producer.Submit(w.Context(), w.P, f, page{"u", 1})
		require.NoError(w, err)
		refused := func(when string, options ...producer.CallOption) {
			before := w.Redis.HGetAll(w.Context(), "refq:{default}:t:"+ref.Hash()).Val()
			require.NotEmpty(w, before)
			res, err := producer.Call(w.Context(), w.P, f, page{"u", 2}, options...)
			require.ErrorIs(w, err, refcache.ErrKeyConflict, when)
			require.Equal(w, ref, res.RefID)
			require.Equal(w, before, w.Redis.HGetAll(w.Context(), "refq:{default}:t:"+ref.Hash()).Val(), "nothing is written")
		}
		refused("in flight")
		var runs atomic.Int32
		w.Work(sized(&runs))
		_, err = producer.Do(w.Context(), w.P, f, page{"u", 1})
		require.NoError(w, err)
		refused("complete")
		refused("refresh", producer.Refresh())
		refused("only if cached", producer.OnlyIfCached())
		kept := w.keeper(producer.LocalCache{})
		_, err = producer.Do(w.Context(), kept, f, page{"u", 1})
		require.NoError(w, err)
		_, err = producer.Do(w.Context(), kept, f, page{"u", 2})
		require.ErrorIs(w, err, refcache.ErrKeyConflict, "in memory, too")
		for i, res := range producer.CallMany(w.Context(), w.P, f, func(yield func(page) bool) { _ = yield(page{"u", 1}) && yield(page{"u", 2}) }) {
			require.Equal(w, i == 0, res.Err == nil)
		}
		require.NoError(w, w.P.Delete(w.Context(), ref))
		_, err = producer.Do(w.Context(), w.P, f, page{"u", 2})
		require.NoError(w, err)
	})
}

// A program without Go says the same by key: in config.yaml.
func TestKeysAreOneFromGoAndFromJSON(t *testing.T) {
	inOffice(t, func(w *office) {
		f := refcache.Func[page, page]{Name: "page", KeyFields: []string{"/url", "/lang"}}
		fromGo, err := producer.Submit(w.Context(), w.P, f, page{"u", 1})
		require.NoError(w, err)
		g := refcache.Func[json.RawMessage, json.RawMessage]{Name: "page", KeyFields: []string{"/url", "/lang"}}
		fromJSON, err := producer.Submit(w.Context(), w.P, g, json.RawMessage(`{"url":"u"}`))
		require.NoError(w, err)
		require.Equal(w, fromGo, fromJSON)
	})
}

func TestKeysThatCannotBeAreRefused(t *testing.T) {
	inOffice(t, func(w *office) {
		for want, f := range map[string]refcache.Func[page, page]{
			"call f: the key is empty":                                    {Name: "f", Key: func(page) string { return "" }},
			"call f: the key has 2000 bytes, more than 1024":              {Name: "f", Key: func(page) string { return strings.Repeat("x", 2000) }},
			"call f: the key is no valid UTF-8":                           {Name: "f", Key: func(page) string { return "\xff" }},
			"function f: key and key_fields are both set":                 {Name: "f", Key: func(page) string { return "k" }, KeyFields: []string{"/url"}},
			`function f: key is "url", must be JSON Pointers`:             {Name: "f", KeyFields: []string{"url"}},
			`function f: key is "/a~2", must be JSON Pointers`:            {Name: "f", KeyFields: []string{"/a~2"}},
			`function f: key is "", must be JSON Pointers`:                {Name: "f", KeyFields: []string{""}},
			`function f: key has "/a" twice`:                              {Name: "f", KeyFields: []string{"/a", "/a"}},
			`function f: key_conflict is "fight", must be join or`:        {Name: "f", KeyFields: []string{"/a"}, KeyConflict: "fight"},
			`function f: key_conflict is refuse, must stand beside a key`: {Name: "f", KeyConflict: refcache.KeyRefuse},
		} {
			_, err := producer.Submit(w.Context(), w.P, f, page{})
			require.ErrorContains(w, err, want)
		}
	})
}

type secret struct {
	Bucket string
	object string
}

func TestArgumentsThatWouldLoseAFieldAreRefusedOnBothSides(t *testing.T) {
	inOffice(t, func(w *office) {
		f := refcache.Func[secret, int]{Name: "f"}
		_, err := producer.Submit(w.Context(), w.P, f, secret{"b", "o"})
		require.ErrorContains(w, err, "call f: field object of producer_test.secret is not exported")
		handle := func(f refcache.Func[secret, int]) func() {
			return func() {
				worker.Handle(worker.New(w.Redis, worker.Config{}), f, func(context.Context, secret) (int, error) { return 0, nil })
			}
		}
		require.PanicsWithValue(w, "worker.Handle: field object of producer_test.secret is not exported, so calls that differ in it alone "+
			"would be one: export it, tag it `json:\"-\"`, or set Func.IgnoreUnexported", handle(f))
		f.IgnoreUnexported = true
		require.NotPanics(w, handle(f))
		_, err = producer.Submit(w.Context(), w.P, f, secret{"b", "o"})
		require.NoError(w, err)
	})
}

// roman has its JSON by a method with a pointer receiver.
type roman struct {
	N int `json:"-"`
}

func (r *roman) MarshalJSON() ([]byte, error) { return json.Marshal(strings.Repeat("I", r.N)) }

func (r *roman) UnmarshalJSON(text []byte) error {
	r.N = bytes.Count(text, []byte("I"))
	return nil
}

func TestMarshalersWithPointerReceiversAreUsedForArgumentsAndResults(t *testing.T) {
	inOffice(t, func(w *office) {
		f := refcache.Func[roman, roman]{Name: "next"}
		w.Work(kit.Handles(f, func(_ context.Context, in roman) (roman, error) { return roman{in.N + 1}, nil }))
		for n := range 3 {
			out, err := producer.Do(w.Context(), w.P, f, roman{n})
			require.NoError(w, err)
			require.Equal(w, roman{n + 1}, out)
		}
		time.Sleep(time.Second)
	})
}

// Go writes zero fields, and JSON leaves them out: args: in config.yaml makes one call of both.
func TestACallIsOneFromGoAndFromJSON(t *testing.T) {
	f := refcache.Func[page, page]{Name: "page"}
	fromGo, err := producer.RefOf("shop", f, page{URL: "u"})
	require.NoError(t, err)
	written, err := codec.Written([]byte(`{"url":"u"}`), []byte(`{"size":0}`), nil)
	require.NoError(t, err)
	fromJSON, err := producer.RefOf("shop", refcache.Func[json.RawMessage, page]{Name: "page"}, written)
	require.NoError(t, err)
	require.Equal(t, fromGo, fromJSON)
	other, err := producer.RefOf("", f, page{URL: "u"})
	require.NoError(t, err)
	require.NotEqual(t, fromGo, other)
	for _, err := range []error{
		func() error { _, err := producer.RefOf("no name", f, page{}); return err }(),
		func() error {
			_, err := producer.RefOf("", refcache.Func[page, page]{Name: "no name"}, page{})
			return err
		}(),
	} {
		require.ErrorContains(t, err, `name "no name"`)
	}
	inOffice(t, func(w *office) {
		ref, err := producer.Submit(w.Context(), w.P, f, page{URL: "u"})
		require.NoError(t, err)
		require.Equal(t, other, ref)
	})
}
