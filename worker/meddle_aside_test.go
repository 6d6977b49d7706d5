package worker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// Where doorbells are set aside, asynq's tools show none. Whatever is pressed there about one of them, or about all of the queue's, it
// costs a call nothing: each runs once when a worker comes that knows it.
func TestNoButtonOfAsynqsToolsHarmsWhatIsSetAside(t *testing.T) {
	testkit.Long(t)
	for name, press := range pressed() {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(w *house) {
				fn, tools := &meddling{house: w, runs: map[string][]time.Time{}}, asynq.NewInspectorFromRedisClient(w.Redis)
				w.Start(worker.Config{}, handleOther)
				var refs []refcache.Ref
				names := []string{"pending/1", "pending/2", "pending/3"}
				for _, name := range names {
					refs = append(refs, w.submit(work, name))
				}
				time.Sleep(2 * time.Second)
				require.Equal(w, 3, w.aside("work@1"))
				_ = press(tools, string(refs[1])) // some say that there is no such doorbell
				time.Sleep(20 * time.Second)
				for _, ref := range refs {
					info := w.info(ref)
					require.Equal(w, refcache.Pending, info.Status)
					require.Equal(w, []int{0, 0}, []int{info.Attempt, info.EventsTotal})
				}
				joined := w.submit(work, names[1]) // who makes the call again joins it
				require.Equal(w, refs[1], joined)

				start := time.Now()
				w.Start(worker.Config{}, world.Handles(work, fn.run))
				if name == "pause" {
					time.Sleep(20 * time.Second)
					require.Empty(w, fn.starts(names[0]))
					require.NoError(w, tools.UnpauseQueue("default"))
					start = time.Now()
				}
				for i, ref := range refs {
					info := w.await(ref, refcache.Complete)
					require.Equal(w, []int{1, 0, 0, 0}, []int{info.Attempt, info.RetryCount, info.LostCount, info.EventsTotal}, names[i])
					require.Less(w, fn.starts(names[i])[0].Sub(start), mended, names[i])
				}
				time.Sleep(time.Minute) // whatever may still come
				for _, name := range names {
					require.Len(w, fn.starts(name), 1, name)
				}
				require.Zero(w, w.Redis.Exists(w.Context(), "refq:{default}:aside", "refq:{default}:aside:work@1").Val())
				(&meddling{house: w, asynq: tools}).asynqIsAtRest()
			})
		})
	}
}

// pressed are the buttons, those of the queue's pause among them, by what they do.
func pressed() map[string]func(i *asynq.Inspector, id string) error {
	all := map[string]func(i *asynq.Inspector, id string) error{
		"pause": func(i *asynq.Inspector, _ string) error { return i.PauseQueue("default") },
		"pause and resume": func(i *asynq.Inspector, _ string) error {
			return errors.Join(i.PauseQueue("default"), i.UnpauseQueue("default"))
		},
	}
	for name, b := range buttons {
		if name != "pause" {
			all[name] = b.press
		}
	}
	return all
}
