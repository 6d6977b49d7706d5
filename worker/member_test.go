package worker_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// What an old and a new worker know of the arguments.
type (
	oldIn struct {
		URL     string
		Options struct{ Lang string }
	}
	newIn struct {
		URL     string
		Options struct{ Lang, Region string }
		Size    int
	}
)

func thumb[In any](f refcache.Func[In, string], answer string) func(*worker.Worker) {
	f.Name = "thumb"
	return world.Handles(f, func(context.Context, In) (string, error) { return answer, nil })
}

// submitRaw makes a call of thumb with arguments as they are written.
func (w *house) submitRaw(args string) refcache.Ref {
	w.Helper()
	ref, err := producer.Submit(w.Context(), w.p, refcache.Func[json.RawMessage, string]{Name: "thumb"}, json.RawMessage(args))
	require.NoError(w, err)
	return ref
}

// A new producer's size would else answer everybody the old default.
func TestAWorkerHandsOnACallWithAMemberThatItDoesNotKnow(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, thumb(refcache.Func[oldIn, string]{}, "default"))
		for args, note := range map[string]string{
			`{"URL":"u","Size":64}`:       `^worker \S+ does not know member "Size" of thumb@1, and no living worker does$`,
			`{"Options":{"Region":"eu"}}`: `^worker \S+ does not know member "/Options/Region" of thumb@1$`,
			`{"URL":"u","a/b~c":1}`:       `does not know member "a/b~c" of thumb@1, and no`,
		} {
			ref := w.submitRaw(args)
			time.Sleep(time.Second)
			info := w.info(ref)
			require.Equal(w, refcache.Pending, info.Status)
			require.Regexp(w, note, info.Note)
			require.Zero(w, info.Attempt+info.RetryCount+len(info.RetryHistory), "the attempt is taken back")
			res, err := w.p.Get(w.Context(), ref)
			require.NoError(w, err)
			require.Equal(w, info.Note, res.Message)
			require.NoError(w, w.p.Cancel(w.Context(), ref))
		}
		ref := w.submitRaw(`{"url":"u"}`)
		w.Until(w.p, ref, refcache.Complete) // case does not matter, as for encoding/json
	})
}

func TestANewerWorkerTakesWhatAnOlderOneHandsOn(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, thumb(refcache.Func[oldIn, string]{}, "default"))
		ref := w.submitRaw(`{"URL":"u","Size":64}`)
		time.Sleep(time.Minute)
		require.Equal(w, 1, w.info(ref).EventsTotal)
		w.Start(worker.Config{}, thumb(refcache.Func[newIn, string]{}, "of 64"))
		time.Sleep(10 * time.Second)
		w.Until(w.p, ref, refcache.Complete)
		other := w.submitRaw(`{"URL":"u","Size":512}`)
		time.Sleep(200 * time.Millisecond)
		require.NotContains(w, w.info(other).Note, "no living worker does")
	})
}

// A misspelt member must end, but answer no longer than any error: perhaps it was a slow deploy.
func TestACallWithAMemberThatNobodyKnowsFailsAfterTenMinutes(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, thumb(refcache.Func[oldIn, string]{}, "default"))
		ref := w.submitRaw(`{"URI":"u"}`)
		time.Sleep(9 * time.Minute)
		require.True(w, w.info(ref).Status.InFlight()) // a worker may just be looking at it
		require.Equal(w, 1, w.info(ref).EventsTotal)
		time.Sleep(90 * time.Second)
		info := w.info(ref)
		require.Equal(w, refcache.Failed, info.Status)
		require.Equal(w, refcache.CauseError, info.ErrorCause)
		require.Contains(w, info.Error, `does not know member "URI" of thumb@1, and no living worker does`)
		require.False(w, info.RetryHistory[0].Permanent)
		require.True(w, info.CanRetry)
	})
}

func TestWhoTakesUnknownMembersIsGivenThem(t *testing.T) {
	inHouse(t, func(w *house) {
		for name, register := range map[string]func(*worker.Worker){
			"allowed": thumb(refcache.Func[oldIn, string]{AllowUnknown: true}, "x"),
			"map":     thumb(refcache.Func[map[string]any, string]{}, "x"),
			"raw":     thumb(refcache.Func[json.RawMessage, string]{}, "x"),
			"any":     thumb(refcache.Func[any, string]{}, "x"),
			"own":     thumb(refcache.Func[reader, string]{}, "x"),
		} {
			host := w.Start(worker.Config{}, register)
			ref := w.submitRaw(`{"URL":"u","more":{"x":1},"by":"` + name + `"}`)
			w.Until(w.p, ref, refcache.Complete)
			host.Stop()
		}
	})
}

// reader reads its JSON itself.
type reader struct{ text string }

func (r *reader) UnmarshalJSON(text []byte) error { r.text = string(text); return nil }
func (r reader) MarshalJSON() ([]byte, error)     { return []byte(r.text), nil }
