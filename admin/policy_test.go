package admin_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// policy is that of a declaration.
func policy(t require.TestingT, f refcache.Func[string, string]) refcache.Policy {
	p, err := f.Policy()
	require.NoError(t, err)
	return p
}

// A timeout was too short, and somebody mends it: a retry that kept the old one would fail alike.
func TestARetryWithAFreshBudgetRunsUnderTodaysPolicy(t *testing.T) {
	old := kit.Once(kit.Echo)
	old.Timeout, old.TTL = time.Second, time.Hour
	mended := old
	mended.Timeout, mended.TTL, mended.FailureTTL, mended.Retry = time.Minute, 2*time.Hour, 3*time.Hour, refcache.RetryPolicy{MaxRetries: 5,
		Delay: 2 * time.Second, BackoffFactor: 3, MaxDelay: 9 * time.Second, Jitter: 0.5}
	other := mended
	other.Timeout = 7 * time.Second
	another := mended
	another.Version = 2

	for name, c := range map[string]struct {
		declared *refcache.Func[string, string]
		options  []admin.RetryOption
		want     refcache.Func[string, string]
	}{
		"nobody knows better":  {nil, nil, old},
		"workers declare":      {&mended, nil, mended},
		"named":                {&mended, []admin.RetryOption{admin.Under(policy(t, other))}, other},
		"named, of another":    {nil, []admin.RetryOption{admin.Under(policy(t, another))}, old},
		"declared, of another": {&another, nil, old},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, func(w *office) {
				s := kit.Script{Errs: []error{kit.ErrDown, nil}}
				first := w.Start(worker.Config{Logger: slog.New(slog.DiscardHandler)}, s.Of(old))
				_, err := w.Call(old, "hi")
				ref := kit.TaskError(w, err).RefID
				first.Stop()
				if c.declared != nil {
					w.Work(s.Of(*c.declared))
				}
				time.Sleep(6 * time.Second) // what was read of the first is read anew
				known, err := w.A.Policies(w.Context(), ref)
				require.NoError(w, err)
				require.Equal(w, c.declared != nil && c.declared.Version != 2, known.Declared != nil)

				_, err = w.A.Retry(w.Context(), ref, append(c.options, admin.FreshBudget())...)
				require.NoError(w, err)
				known, err = w.A.Policies(w.Context(), ref)
				require.NoError(w, err)
				want := policy(w, c.want)
				want.AsyncTimeout, want.FailureAnswer, want.Fresh = 0, refcache.FailureAnswer{}, 0
				require.Equal(w, want, known.Stored)
			})
		})
	}
}

func TestARetryThatIsLeftRunsUnderThePolicyOnRecord(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Errs: []error{worker.Permanent(kit.ErrDown), nil}}
		f := kit.Echo
		f.Timeout = time.Second
		w.Work(s.Of(kit.Echo))
		_, err := w.Call(f, "hi")
		ref := kit.TaskError(w, err).RefID
		_, err = w.A.Retry(w.Context(), ref, admin.Under(policy(w, kit.Echo)))
		require.NoError(w, err)
		require.Equal(w, time.Second, w.Info(ref).Timeout)
	})
}

func TestRetryAllTakesThePolicyOfEachFunction(t *testing.T) {
	inOffice(t, func(w *office) {
		var options []admin.RetryOption
		for n := range 3 {
			f := kit.Once(kit.Echo)
			f.Name = fmt.Sprint("f", n)
			s := kit.Script{Errs: []error{kit.ErrDown}}
			w.Work(s.Of(f))
			_, err := producer.Call(w.Context(), w.P, f, "hi")
			require.Error(w, err)
			f.Timeout = time.Duration(n+1) * time.Minute
			options = append(options, admin.Under(policy(w, f)))
		}
		retried := map[string]time.Duration{}
		for r, err := range w.A.RetryAll(w.Context(), admin.Filter{}, append(options, admin.FreshBudget())...) {
			require.NoError(w, err)
			require.NoError(w, r.Err)
			retried[r.Task.Func] = w.Info(r.Task.RefID).Timeout
		}
		require.Equal(w, map[string]time.Duration{"f0": time.Minute, "f1": 2 * time.Minute, "f2": 3 * time.Minute}, retried)
	})
}

// A policy that was not made by Func.Policy would keep nothing, and lose the result.
func TestAPolicyThatCannotBeIsRefused(t *testing.T) {
	inOffice(t, func(w *office) {
		under := admin.Under(refcache.Policy{Name: "echo", Version: 1, Timeout: time.Minute})
		_, err := w.A.Retry(w.Context(), "default:00112233445566778899aabbccddeeff", admin.FreshBudget(), under)
		require.ErrorContains(w, err, "under: function echo: ")
		for _, err := range w.A.RetryAll(w.Context(), admin.Filter{}, admin.FreshBudget(), under) {
			require.ErrorContains(w, err, "under: function echo: ")
		}
	})
}

// Somebody deletes the call, or it begins another life, between what Refresh has seen and what it does.
func TestRefreshIsOfTheLifeThatWasSeen(t *testing.T) {
	inOffice(t, func(w *office) {
		s := kit.Script{Numbered: true}
		w.Work(s.Of(kit.Echo))
		res, err := w.Call(kit.Echo, "hi")
		require.NoError(w, err)
		between := func(do func()) error {
			done := false
			w.Server.SetFaults(func(cmd []string) memredis.Fault {
				if text := strings.Join(cmd, " "); !done && strings.Contains(text, "complete of=") {
					done = true
					go do()
					time.Sleep(time.Second) // the command arrives later
				}
				return memredis.Pass
			})
			defer w.Server.SetFaults(nil)
			_, err := w.A.Refresh(w.Context(), res.RefID)
			return err
		}
		require.NoError(w, between(func() { _, _ = w.Call(kit.Echo, "hi", producer.Refresh()) }))
		time.Sleep(time.Second)
		require.EqualValues(w, 2, s.Runs.Load(), "the other refresh is as good")
		err = between(func() { require.NoError(w, w.P.Delete(w.Context(), res.RefID)) })
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)
		time.Sleep(time.Second)
		require.EqualValues(w, 2, s.Runs.Load())
		_, err = w.A.Task(w.Context(), res.RefID)
		require.ErrorIs(w, err, refcache.ErrTaskNotFound)
	})
}
