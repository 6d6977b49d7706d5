package queue

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
)

// FuzzPayload: whatever is enqueued in a queue of ours, it is a doorbell for a task of that queue or not ours.
func FuzzPayload(f *testing.F) {
	const hash = "0123456789abcdef0123456789abcdef"
	for _, payload := range []string{"media:" + hash, "other:" + hash, "media:" + hash + ".2", "", "{}", "\xff\x00", "media:" + hash + "\n"} {
		f.Add("media", []byte(payload))
	}
	f.Fuzz(func(t *testing.T, queue string, payload []byte) {
		ref, err := refOf(queue, payload)
		if err != nil {
			require.Empty(t, ref)
			require.Less(t, len(err.Error()), 1000+len(queue))
			return
		}
		require.Equal(t, queue, ref.Queue())
		require.Equal(t, string(payload), string(ref))
		_, err = refcache.ParseRef(string(ref))
		require.NoError(t, err)
		require.Equal(t, string(payload), TaskID(ref, 1))
	})
}

// A newer asynq may ask in another way; then it polls, and somebody should know why all is slower.
func TestAnAsynqThatAsksOtherwiseIsToldOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		f := newFetcher(nil, "media", Config{Worker: "w1", Slots: NewSlots(1), Logger: slog.New(slog.NewTextHandler(&said, nil))})
		go f.run(t.Context())
		time.Sleep(time.Hour)
		close(f.stop)
		<-f.fetched
		require.Equal(t, 1, strings.Count(said.String(), "it polls, which is slower"))
	})
}

func TestAFetcherThatHasStoppedNeverTakesAWakeUp(t *testing.T) {
	f := newFetcher(nil, "media", Config{Worker: "w1", Slots: NewSlots(1)})
	close(f.stop)
	for range 100 {
		require.False(t, f.woken())
		select {
		case <-f.wake:
		default:
		}
	}
}

// use is how asynq acknowledges a doorbell at this moment.
func use(id string) ([]string, []any) {
	now := time.Now().UTC()
	return []string{"asynq:{media}:active", "asynq:{media}:lease", "asynq:{media}:t:" + id,
		"asynq:{media}:processed:" + now.Format(time.DateOnly), "asynq:{media}:processed"}, []any{id, now.Add(90 * 24 * time.Hour).Unix(), int64(1)}
}

// asynq counts what it did by day, and keeps each day's count for 90 days.
func TestWhatIsLearnedOfAcknowledgementsHoldsTheNextDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLessons("media", nil)
		keys, args := use("media:1")
		_, _, isLearned := l.note("return 1", keys, args)
		require.True(t, isLearned)
		time.Sleep(36 * time.Hour)
		keys, args = use("media:22.3")
		got := l.acknowledge("media:22.3")
		require.Equal(t, keys, got.Keys)
		require.Equal(t, args, got.Args)
	})
}

// A newer asynq may acknowledge in another way; then it does so by itself.
func TestAnAcknowledgementOfAnotherKindIsLeftToAsynq(t *testing.T) {
	keys, args := use("1")
	for what, change := range map[string]func() ([]string, []any){
		"another day": func() ([]string, []any) {
			k := slices.Clone(keys)
			k[3] = "asynq:{media}:processed:today"
			return k, args
		},
		"another kind": func() ([]string, []any) { return keys, []any{"1", 1, int64(2)} },
		"one key more": func() ([]string, []any) { return append(slices.Clone(keys), "asynq:{media}:more"), args },
	} {
		l := newLessons("media", nil)
		keys, args := change()
		_, recognised, _ := l.note("return 1", keys, args)
		require.False(t, recognised, what)
		require.Nil(t, l.acknowledge("2"), what)
	}
}
