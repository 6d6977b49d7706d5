package admin_test

import (
	"context"
	"strings"
	"testing"
	"time"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func (w *office) pauses() []refcache.Pause {
	w.Helper()
	found, err := w.A.Pauses(w.Context())
	require.NoError(w, err)
	return found
}

// inTwoQueues has Redis know of the queues default and media.
func inTwoQueues(t *testing.T, test func(w *office)) {
	inOffice(t, func(w *office) {
		media := kit.Echo
		media.Name, media.Queue = "thumb", "media"
		w.Submit(kit.Echo, "x")
		w.Submit(media, "x")
		test(w)
	})
}

func TestWhatIsPausedIsListed(t *testing.T) {
	inTwoQueues(t, func(w *office) {
		require.Empty(w, w.pauses())
		ann := w.AdminAs("ann")
		pause := func(target admin.Target, terms admin.PauseTerms) refcache.Pause {
			noted, err := ann.Pause(w.Context(), target, terms)
			require.NoError(w, err)
			return noted
		}
		thumb := pause(admin.Target{Func: "thumb"}, admin.PauseTerms{Reason: "release"})
		time.Sleep(time.Second)
		first := pause(admin.Target{Func: "echo@2"}, admin.PauseTerms{For: time.Hour})
		require.Equal(w, refcache.Pause{Func: "thumb", By: "ann", At: thumb.At, Reason: "release"}, thumb)
		require.Equal(w, time.Hour, first.Until.Sub(*first.At))
		media := pause(admin.Target{Queue: "media"}, admin.PauseTerms{Reason: "release"})
		require.Equal(w, []refcache.Pause{media, first, thumb}, w.pauses())
		require.NoError(w, asynq.NewInspectorFromRedisClient(w.Redis).PauseQueue("default"))
		require.Equal(w, "queue default is paused since "+time.Now().Local().Format("15:04"), w.pauses()[0].String())

		was, err := w.A.Resume(w.Context(), admin.Target{Func: "thumb"})
		require.NoError(w, err)
		require.True(w, was)
		was, err = w.A.Resume(w.Context(), admin.Target{Func: "echo"})
		require.NoError(w, err)
		require.False(w, was, "only a version is paused")
		for _, queue := range []string{"default", "media"} {
			was, err = w.A.Resume(w.Context(), admin.Target{Queue: queue})
			require.NoError(w, err)
			require.True(w, was)
		}
		require.Equal(w, []refcache.Pause{first}, w.pauses())
	})
}

func TestAPauseIsRefused(t *testing.T) {
	inTwoQueues(t, func(w *office) {
		for want, c := range map[string]struct {
			admin.Target
			admin.PauseTerms
		}{
			"no queue, function or gate is named": {},
			"name one of them":                    {Target: admin.Target{Queue: "media", Func: "thumb"}},
			"pause queue meda: there is no such queue; there are: default, media": {Target: admin.Target{Queue: "meda"}},
			"a version is a whole number":                                         {Target: admin.Target{Func: "thumb@x"}},
			"such as":                                                             {Target: admin.Target{Func: "thumb small"}},
			"for is -1s, must be at least 0":                                      {Target: admin.Target{Func: "thumb"}, PauseTerms: admin.PauseTerms{For: -time.Second}},
			"more than 500":                                                       {Target: admin.Target{Func: "thumb"}, PauseTerms: admin.PauseTerms{Reason: strings.Repeat("x", 501)}},
			"not UTF-8":                                                           {Target: admin.Target{Func: "thumb"}, PauseTerms: admin.PauseTerms{Reason: "\xff"}},
		} {
			_, err := w.A.Pause(w.Context(), c.Target, c.PauseTerms)
			require.Error(w, err, want)
			if want != "such as" {
				require.ErrorContains(w, err, want)
			}
		}
		require.Empty(w, w.pauses())
	})
}

func TestWhereRedisKnowsNoQueueNothingIsPaused(t *testing.T) {
	inOffice(t, func(w *office) {
		_, err := w.A.Pause(w.Context(), admin.Target{Func: "thumb"}, admin.PauseTerms{})
		require.ErrorIs(w, err, admin.ErrUnknownQueue)
		_, err = w.A.Resume(w.Context(), admin.Target{Queue: "media"})
		require.ErrorContains(w, err, "resume queue media: there is no such queue: Redis knows of none yet")
	})
}

func TestAPauseGoesOnWhereAQueueFails(t *testing.T) {
	inTwoQueues(t, func(w *office) {
		const key = "refq:{default}:paused"
		w.Redis.Set(w.Context(), key, "somebody's", 0)
		_, err := w.A.Pause(w.Context(), admin.Target{Func: "thumb"}, admin.PauseTerms{})
		require.ErrorContains(w, err, "pause function thumb: 1 of 2 queues failed; repeat it")
		require.True(w, w.Redis.HExists(w.Context(), "refq:{media}:paused", "f:thumb").Val())
		w.Redis.Del(w.Context(), key)
		_, err = w.A.Pause(w.Context(), admin.Target{Func: "thumb"}, admin.PauseTerms{})
		require.NoError(w, err)
		require.Len(w, w.pauses(), 1)
	})
}

func TestHealthTellsWhatIsPaused(t *testing.T) {
	inTwoQueues(t, func(w *office) {
		require.Equal(w, monitor.LevelOK, w.finding("paused").Level)
		_, err := w.AdminAs("ann").Pause(w.Context(), admin.Target{Func: "thumb"}, admin.PauseTerms{Reason: "release"})
		require.NoError(w, err)
		require.NoError(w, asynq.NewInspectorFromRedisClient(w.Redis).PauseQueue("default"))
		since := time.Now().Local().Format("15:04")
		found := w.finding("paused")
		require.Equal(w, monitor.LevelWarning, found.Level)
		require.Equal(w, "queue default is paused since "+since+"; function thumb is paused by ann since "+since+": release", found.Fact)
	})
}

func TestAGateIsPausedInAllQueuesThatHaveIt(t *testing.T) {
	inOffice(t, func(w *office) {
		for _, queue := range []string{"default", "media"} {
			f := kit.Echo
			f.Queue, f.Gate = queue, refcache.Gate{Name: "maps", Each: 1}
			w.Submit(f, "x")
		}
		w.Submit(kit.Echo, "y")
		both, err := w.AdminAs("ann").Pause(w.Context(), admin.Target{Gate: "maps"}, admin.PauseTerms{})
		require.NoError(w, err)
		require.Equal(w, refcache.Pause{Gate: "maps", By: "ann", At: both.At}, both, "without a queue: there are two")
		var targets []string
		for _, p := range w.pauses() {
			targets = append(targets, p.Target())
		}
		require.Equal(w, []string{"gate maps of queue default", "gate maps of queue media"}, targets)

		one, err := w.A.Pause(w.Context(), admin.Target{Queue: "media", Gate: "maps", Key: new("a")}, admin.PauseTerms{})
		require.NoError(w, err)
		require.Equal(w, "key a of gate maps of queue media", one.Target())
		was, err := w.A.Resume(w.Context(), admin.Target{Gate: "maps"})
		require.NoError(w, err)
		require.True(w, was)
		require.Equal(w, []refcache.Pause{one}, w.pauses())
	})
}

func TestAGateThatIsNotThereIsNeitherPausedNorResumed(t *testing.T) {
	inTwoQueues(t, func(w *office) {
		_, err := w.A.Pause(w.Context(), admin.Target{Gate: "maps"}, admin.PauseTerms{})
		require.ErrorIs(w, err, admin.ErrNoGate)
		_, err = w.A.Resume(w.Context(), admin.Target{Gate: "maps"})
		require.ErrorIs(w, err, admin.ErrNoGate)
		require.EqualError(w, err, "resume gate maps: no such gate; refq gates lists those that there are")
		_, err = w.A.Resume(w.Context(), admin.Target{Gate: "maps", Queue: "media", Key: new("a")})
		require.ErrorIs(w, err, admin.ErrNoGate)
	})
}

func TestAnOldResultIsNotHeldUp(t *testing.T) {
	inOffice(t, func(w *office) {
		gated := kit.Echo
		gated.Gate = refcache.Gate{Name: "maps", Each: 1}
		w.Work(kit.Handles(gated, func(_ context.Context, in string) (string, error) { return in, nil }))
		time.Sleep(time.Second)
		res, err := w.Call(gated, "x")
		require.NoError(w, err)
		_, err = w.A.Pause(w.Context(), admin.Target{Gate: "maps"}, admin.PauseTerms{})
		require.NoError(w, err)
		w.Submit(gated, "x", producer.Refresh())
		require.Equal(w, "maps", w.Info(res.RefID).Paused.Gate)
		res, err = w.Call(gated, "x")
		require.NoError(w, err)
		require.True(w, res.Refreshing)
		require.Equal(w, refcache.Complete, res.Status)
		require.Nil(w, res.Paused)
		require.Equal(w, "complete", res.Message)
	})
}
