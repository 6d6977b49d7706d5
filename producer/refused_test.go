package producer_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func TestAProducerThatNewDidNotMakeIsRefused(t *testing.T) {
	for name, p := range map[string]*producer.Producer{"nil": nil, "zero": {}} {
		for what, use := range map[string]func() error{
			"Do":       func() error { _, err := producer.Do(t.Context(), p, kit.Echo, "hi"); return err },
			"Call":     func() error { _, err := producer.Call(t.Context(), p, kit.Echo, "hi"); return err },
			"Submit":   func() error { _, err := producer.Submit(t.Context(), p, kit.Echo, "hi"); return err },
			"Get":      func() error { _, err := p.Get(t.Context(), "default:x"); return err },
			"Get of f": func() error { _, err := producer.Get(t.Context(), p, kit.Echo, "default:x"); return err },
			"Wait":     func() error { _, err := p.Wait(t.Context(), "default:x"); return err },
			"Info":     func() error { _, err := p.Info(t.Context(), "default:x"); return err },
			"Retry":    func() error { _, err := p.Retry(t.Context(), "default:x"); return err },
			"Cancel":   func() error { return p.Cancel(t.Context(), "default:x") },
			"Delete":   func() error { return p.Delete(t.Context(), "default:x") },
			"Close":    func() error { return p.Close() },
			"CallMany": func() (err error) {
				for _, res := range producer.CallMany(t.Context(), p, kit.Echo, slices.Values([]string{"hi"})) {
					err = res.Err
				}
				return err
			},
		} {
			require.ErrorContains(t, use(), "the producer is not made by producer.New", "%s of %s", what, name)
		}
	}
	require.PanicsWithValue(t, "producer.New: the Redis client is nil", func() { producer.New(nil, producer.Config{}) })
}

func TestACallWhoseContextHasEndedSendsNothingAndTellsWhy(t *testing.T) {
	inOffice(t, func(w *office) {
		_, err := w.Call(kit.Echo, "before") // what is needed once is done
		require.NoError(w, err)
		shut := errors.New("the shop is shut")
		ctx, end := context.WithCancelCause(w.Context())
		end(shut)
		before := w.Server.Dump()
		res, err := producer.Call(ctx, w.P, kit.Echo, "hi")
		require.ErrorIs(w, err, shut)
		ref, err := producer.Submit(ctx, w.P, kit.Echo, "hi")
		require.ErrorIs(w, err, shut)
		require.NotEmpty(w, ref)
		require.Equal(w, ref, res.RefID)
		_, err = producer.Do(ctx, w.P, kit.Echo, "hi")
		require.ErrorIs(w, err, shut)
		require.Equal(w, before, w.Server.Dump())
	})
}

func TestAContextThatEndsDuringTheSubmissionTellsWhy(t *testing.T) {
	inOffice(t, func(w *office) {
		shut := errors.New("the shop is shut")
		ctx, end := context.WithCancelCause(w.Context())
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			end(shut)
			return memredis.DropRequest
		})
		res, err := producer.Call(ctx, w.P, kit.Echo, "hi")
		w.Server.SetFaults(nil)
		require.ErrorIs(w, err, shut)
		require.NotEmpty(w, res.RefID)
	})
}

// spoilt cannot be encoded.
type spoilt struct{ Text string }

func (s spoilt) MarshalJSON() ([]byte, error) {
	if s.Text == "bad" {
		panic(errSpoilt)
	}
	return fmt.Appendf(nil, "%q", s.Text), nil
}

var errSpoilt = errors.New("spoilt")

// A panic in another goroutine would end the program, and nobody could do anything about it.
func TestAPanicOfTheArgumentsIsRaisedWhereTheyAreRangedOver(t *testing.T) {
	inOffice(t, func(w *office) {
		var s kit.Script
		w.Work(s.Of(kit.Echo))
		f := refcache.Func[spoilt, string]{Name: "echo"}
		reads := func(yield func(spoilt) bool) {
			if yield(spoilt{"good"}) {
				panic("no more")
			}
		}
		for what, c := range map[string]struct {
			ins  iter.Seq[spoilt]
			want string
		}{
			"encoding": {slices.Values([]spoilt{{"good"}, {"bad"}, {"never"}}), "spoilt\n\ngoroutine "},
			"reading":  {reads, "no more\n\ngoroutine "},
		} {
			answered := 0
			value := func() (value any) {
				defer func() { value = recover() }()
				for _, res := range producer.CallMany(w.Context(), w.P, f, c.ins) {
					require.NoError(w, res.Err)
					answered++
				}
				return nil
			}()
			require.Equal(w, 1, answered, what)
			err, ok := value.(error)
			require.True(w, ok, what)
			require.True(w, strings.HasPrefix(err.Error(), c.want), err)
			require.Equal(w, what == "encoding", errors.Is(err, errSpoilt))
		}
	})
}

func TestNoIteratorIsNoCalls(t *testing.T) {
	inOffice(t, func(w *office) {
		for range producer.CallMany(w.Context(), w.P, kit.Echo, nil) {
			require.Fail(w, "there is no call")
		}
		for range producer.SubmitMany(w.Context(), w.P, kit.Echo, nil) {
			require.Fail(w, "there is no call")
		}
	})
}
