package producer_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// tagged is echo with two tags: user:<its argument>, and all.
func tagged() refcache.Func[string, string] {
	f := kit.Once(kit.Echo)
	f.Tags = func(in string) []string { return []string{"user:" + in, "all"} }
	return f
}

// does is the value of a call that must succeed.
func (w *office) does(p *producer.Producer, f refcache.Func[string, string], in string, options ...producer.CallOption) string {
	w.Helper()
	value, err := producer.Do(w.Context(), p, f, in, options...)
	require.NoError(w, err)
	return value
}

func (w *office) invalidates(scopes ...producer.Scope) {
	w.Helper()
	require.NoError(w, w.P.Invalidate(w.Context(), scopes...))
	time.Sleep(time.Millisecond) // an attempt of this very millisecond would count as one before it
}

func TestAnInvalidatedResultIsMadeAnewAndWaitedFor(t *testing.T) {
	for _, scope := range []producer.Scope{producer.Tag("user:ann"), producer.Tag("all"), producer.OfFunc("echo"), producer.OfNamespace()} {
		t.Run(scope.String(), func(t *testing.T) {
			inOffice(t, func(w *office) {
				s := kit.Script{Numbered: true}
				w.Work(s.Of(kit.Echo))
				bank := w.NewProducer(producer.Config{Namespace: "bank"})
				require.Equal(w, "ann 1", w.does(w.P, tagged(), "ann"))
				require.Equal(w, "ann 2", w.does(bank, tagged(), "ann"))
				w.invalidates(producer.Tag("user:bob"), producer.OfFunc("thumb"))
				require.Equal(w, "ann 1", w.does(w.P, tagged(), "ann"))

				w.invalidates(scope)
				require.Equal(w, "ann 1", w.does(w.P, kit.Echo, "ann"), "who has no tags does not look")
				require.Equal(w, "ann 3", w.does(w.P, tagged(), "ann"))
				require.Equal(w, "ann 3", w.does(w.P, tagged(), "ann"))
				require.Equal(w, "ann 2", w.does(bank, tagged(), "ann"))
			})
		})
	}
}

func TestAFunctionWithoutATagLooksAtInvalidationsOfItself(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		w.Work(s.Of(kit.Echo))
		f := tagged()
		f.Tags = func(string) []string { return nil }
		require.Equal(w, "ann 1", w.does(w.P, f, "ann"))
		w.invalidates(producer.OfFunc("echo"))
		require.Equal(w, "ann 2", w.does(w.P, f, "ann"))
	})
}

// The run under way may have read what has changed since.
func TestACallThatJoinsARunBegunBeforeAnInvalidationCallsOnceMore(t *testing.T) {
	calls := map[string]func(w *office, f refcache.Func[string, string]) (string, error){
		"Do": func(w *office, f refcache.Func[string, string]) (string, error) {
			return producer.Do(w.Context(), w.P, f, "hi")
		},
		"CallMany": func(w *office, f refcache.Func[string, string]) (string, error) {
			for _, res := range producer.CallMany(w.Context(), w.P, f, slices.Values([]string{"hi"})) {
				return res.Value, res.Err
			}
			return "", context.Canceled
		},
	}
	outcomes := map[string][]error{"complete": nil, "failed": {kit.ErrDown, nil}}
	for how, call := range calls {
		for outcome, errs := range outcomes {
			t.Run(how+" "+outcome, func(t *testing.T) {
				inOffice(t, func(w *office) {
					s := kit.Script{Numbered: true, Errs: errs, Hold: make(chan struct{})}
					f := tagged()
					w.Work(s.Of(f))
					w.Until(w.Submit(f, "hi"), refcache.Processing)
					w.invalidates(producer.Tag("all"))
					joined := make(chan string, 1)
					go func() {
						value, err := call(w, f)
						require.NoError(w, err)
						joined <- value
					}()
					time.Sleep(time.Second)
					s.Hold <- struct{}{}
					s.Hold <- struct{}{}
					require.Equal(w, "hi 2", <-joined)
				})
			})
		}
	}
}

// Who has started the run gets what it gives: it was not invalidated before the call.
func TestACallThatStartedARunTakesItsResultWhateverIsInvalidatedMeanwhile(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true, Hold: make(chan struct{})}
		f := tagged()
		w.Work(s.Of(f))
		value := make(chan string, 1)
		go func() { value <- w.does(w.P, f, "hi") }()
		time.Sleep(time.Second)
		w.invalidates(producer.Tag("all"))
		s.Hold <- struct{}{}
		require.Equal(w, "hi 1", <-value)
	})
}

func TestAFailureAnswersNoLongerOnceItIsInvalidated(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{kit.ErrDown, nil}}
		f := tagged()
		w.Work(s.Of(f))
		for range 2 {
			_, err := w.Call(f, "hi")
			require.Error(w, err)
		}
		_, err := w.Call(f, "hi", producer.OnlyIfCached())
		require.ErrorContains(w, err, "is down")
		w.invalidates(producer.OfFunc("echo"))
		_, err = w.Call(f, "hi", producer.OnlyIfCached())
		require.ErrorIs(w, err, refcache.ErrNotCached)
		require.Equal(w, "hi!", w.does(w.P, f, "hi"))
	})
}

// Refresh takes the run that another has started. So does it after an invalidation, but none that began before.
func TestARefreshThatJoinsARunBegunBeforeAnInvalidationRunsOnceMore(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true, Hold: make(chan struct{})}
		f := tagged()
		w.Work(s.Of(f))
		w.Until(w.Submit(f, "hi"), refcache.Processing)
		joined := make(chan string, 1)
		join := func() {
			go func() { joined <- w.does(w.P, f, "hi", producer.Refresh()) }()
			time.Sleep(time.Second)
			s.Hold <- struct{}{}
		}
		join()
		require.Equal(w, "hi 1", <-joined)

		w.Submit(f, "hi", producer.Refresh())
		time.Sleep(time.Second)
		w.invalidates(producer.Tag("all"))
		join()
		s.Hold <- struct{}{}
		require.Equal(w, "hi 3", <-joined)
	})
}

// Who cancels the run for a newer result has not made the old one valid.
func TestACancelledRunForANewerResultIsToldBesideTheInvalidOne(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true, Hold: make(chan struct{}, 1)}
		f := tagged()
		w.Work(s.Of(f))
		s.Hold <- struct{}{}
		w.does(w.P, f, "hi")
		w.invalidates(producer.Tag("all"))
		ended := make(chan error, 1)
		go func() {
			res, err := w.Call(f, "hi")
			require.Equal(w, refcache.StaleTag, res.StaleReason)
			require.Contains(w, res.Message, "was invalidated, and its last refresh was cancelled")
			ended <- err
		}()
		time.Sleep(time.Second)
		ref, err := producer.RefOf("", f, "hi")
		require.NoError(w, err)
		require.NoError(w, w.P.Cancel(w.Context(), ref))
		failed := <-ended
		require.True(w, isRefresh(failed))
		require.Equal(w, refcache.StaleCancelled, kit.TaskError(w, failed).StaleReason)
	})
}

// An invalid result stays until there is a better one, but never without the error beside it.
func TestAnInvalidResultStandsBesideTheErrorOfItsRefresh(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true, Errs: []error{nil, kit.ErrDown, nil}}
		f := tagged()
		w.Work(s.Of(f))
		require.Equal(w, "hi 1", w.does(w.P, f, "hi"))
		w.invalidates(producer.Tag("all"))
		for range 3 {
			res, err := w.Call(f, "hi")
			require.True(w, isRefresh(err))
			require.Equal(w, []any{"hi 1", true, refcache.StaleTag, refcache.Complete}, []any{res.Value, res.IsStale, res.StaleReason, res.Status})
			require.Contains(w, res.Message, "was invalidated")
		}
		require.EqualValues(w, 2, s.Runs.Load(), "the failure answers")
		for _, res := range producer.CallMany(w.Context(), w.P, f, slices.Values([]string{"hi"})) {
			require.True(w, isRefresh(res.Err))
		}
		_, err := w.Call(f, "hi", producer.OnlyIfCached())
		require.ErrorIs(w, err, refcache.ErrNotCached)

		w.invalidates(producer.Tag("all"))
		require.Equal(w, "hi 3", w.does(w.P, f, "hi"), "the failure began before this one")
	})
}

func TestAnInvalidResultIsNotToldWhileANewOneIsMade(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true, Hold: make(chan struct{}, 1)}
		f := tagged()
		w.Work(s.Of(f))
		s.Hold <- struct{}{}
		require.Equal(w, "hi 1", w.does(w.P, f, "hi"))
		w.invalidates(producer.Tag("all"))
		for range 2 { // one starts the run, the other joins it
			res, err := w.Call(f, "hi")
			require.NoError(w, err)
			require.True(w, res.IsAsync)
			require.False(w, res.HasValue)
		}
		s.Hold <- struct{}{}
	})
}

func TestALocalCacheForgetsWhatIsInvalidated(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		f := tagged()
		w.Work(s.Of(f))
		mine, other := w.keeper(producer.LocalCache{Entries: 10, Stale: time.Hour}), w.keeper(producer.LocalCache{Entries: 10, Stale: time.Hour})
		for _, in := range []string{"ann", "bob"} {
			for _, p := range []*producer.Producer{mine, other} {
				w.does(p, f, in)
				time.Sleep(told)
				w.does(p, f, in)
			}
		}
		values := func(p *producer.Producer) (string, string) { return w.does(p, f, "ann"), w.does(p, f, "bob") }
		require.Zero(w, w.asks(func() { _, _ = values(mine); _, _ = values(other) }))

		require.NoError(w, mine.Invalidate(w.Context(), producer.Tag("user:ann")))
		time.Sleep(told)
		require.Positive(w, w.asks(func() {
			ann, bob := values(other)
			require.Equal(w, []string{"ann 3", "bob 2"}, []string{ann, bob})
		}))
		ann, bob := values(mine)
		require.Equal(w, []string{"ann 3", "bob 2"}, []string{ann, bob})
	})
}

// A message may be on its way for long. Who invalidates does not wait for it.
func TestWhoInvalidatesForgetsItsOwnAtOnce(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		f := tagged()
		w.Work(s.Of(f))
		w.deafen()
		p := w.keeper(producer.LocalCache{Entries: 10, Stale: time.Hour})
		for range 2 {
			w.does(p, f, "hi")
		}
		require.NoError(w, p.Invalidate(w.Context(), producer.OfNamespace()))
		time.Sleep(time.Millisecond)
		require.Equal(w, "hi 2", w.does(p, f, "hi"))
	})
}

// A message may be lost: then a result in memory answers until it is read again, a second at most.
func TestAnInvalidationWhoseMessageIsLostIsFoundByTheNextRead(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		f := tagged()
		w.Work(s.Of(f))
		w.deafen()
		p := w.keeper(producer.LocalCache{})
		w.does(p, f, "hi")
		w.does(p, f, "hi")
		w.invalidates(producer.Tag("all"))
		require.Equal(w, "hi 1", w.does(p, f, "hi"))
		time.Sleep(time.Second)
		require.Equal(w, "hi 2", w.does(p, f, "hi"))
	})
}

// Who reads by ref_id does not look at stamps: what such a read has found is nothing for a call that does.
func TestWhatWasReadByRefIDServesNoCallWithTags(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		f := tagged()
		w.Work(s.Of(f))
		w.does(w.P, f, "hi")
		w.invalidates(producer.Tag("all"))
		p := w.keeper(producer.LocalCache{Entries: 10, Stale: time.Hour})
		ref, err := producer.RefOf("", f, "hi")
		require.NoError(w, err)
		for range 2 {
			w.valueIs("hi 1", p, ref)
			time.Sleep(told)
		}
		require.Equal(w, "hi 2", w.does(p, f, "hi"))
	})
}

func TestInvalidatingGoesOnWhereAQueueFails(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		f, fast := tagged(), tagged()
		fast.Queue = "fast"
		w.Work(s.Of(f))
		w.Work(s.Of(fast))
		require.Equal(w, "hi 1", w.does(w.P, f, "hi"))
		require.Equal(w, "hi 2", w.does(w.P, fast, "hi"))
		foreign := "refq:{default}:stamps"
		require.NoError(w, w.Redis.Set(w.Context(), foreign, "x", 0).Err())
		err := w.P.Invalidate(w.Context(), producer.Tag("all"), producer.OfFunc("echo"))
		require.ErrorContains(w, err, "invalidate tag all, function echo: 1 of 2 queues failed")
		require.ErrorContains(w, err, "refq:{default}:* is not refq's")
		time.Sleep(time.Millisecond)
		require.Equal(w, "hi 3", w.does(w.P, fast, "hi"))
		_, err = w.Call(f, "hi")
		require.ErrorContains(w, err, "is not refq's", "rather than an answer that may be invalid")

		require.NoError(w, w.Redis.Del(w.Context(), foreign).Err())
		w.invalidates(producer.Tag("all"))
		require.Equal(w, "hi 4", w.does(w.P, f, "hi"))
	})
}

// A flush takes the list of queues; workers bring it back a moment later.
func TestAQueueThatRedisHasForgottenIsInvalidated(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		f := tagged()
		w.Work(s.Of(f))
		require.Equal(w, "hi 1", w.does(w.P, f, "hi"))
		require.NoError(w, w.Redis.Del(w.Context(), "refq:queues").Err())
		w.invalidates(producer.Tag("all"))
		require.Equal(w, "hi 2", w.does(w.P, f, "hi"))
	})
}

func TestWhatCannotBeATagOrAScopeIsRefused(t *testing.T) {
	inOffice(t, func(w *office) {
		before := w.Redis.DBSize(w.Context()).Val()
		for want, scopes := range map[string][]producer.Scope{
			"name a tag, a function or the namespace": nil,
			"1001 scopes, more than 1000":             slices.Repeat([]producer.Scope{producer.Tag("a")}, 1001),
			"zero Scope":                              {{}},
			"a tag is empty":                          {producer.Tag("")},
			`"a,b" has ','`:                           {producer.Tag("ok"), producer.Tag("a,b")},
			`name "no name"`:                          {producer.OfFunc("no name")},
		} {
			require.ErrorContains(w, w.P.Invalidate(w.Context(), scopes...), want)
		}
		f := tagged()
		for _, tags := range [][]string{make([]string, 17), {"New York"}} {
			f.Tags = func(string) []string { return tags }
			_, err := producer.Submit(w.Context(), w.P, f, "hi")
			require.ErrorContains(w, err, "call echo: ")
		}
		reader := w.NewProducer(producer.Config{Namespace: refcache.AllNamespaces})
		require.ErrorContains(w, reader.Invalidate(w.Context(), producer.Tag("all")), "only reads")
		require.ErrorContains(w, (*producer.Producer)(nil).Invalidate(w.Context(), producer.Tag("all")), "not made by producer.New")
		require.Equal(w, before, w.Redis.DBSize(w.Context()).Val(), "nothing is written")
	})
}
