package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/declared"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// declaredNow is what living workers of the default queue declare, read anew.
func (w *house) declaredNow() map[string]declared.Function {
	w.Helper()
	functions, err := declared.NewReader(store.New(script.New(w.Redis))).Functions(w.Context(), "default")
	require.NoError(w, err)
	return functions
}

func (w *house) declaredKeys() []string {
	return w.Redis.Keys(w.Context(), "refq:{default}:declared:*").Val()
}

type args struct {
	URL   string `json:"url"`
	Page  int    `json:"page,omitzero"`
	inner        // has its fields here
}

type inner struct {
	Size int
	Skip int `json:"-"`
}

func TestWorkersDeclareTheirFunctions(t *testing.T) {
	inHouse(t, func(w *house) {
		f := refcache.Func[args, int]{Name: "page", Version: 2, Timeout: time.Second, Retry: refcache.RetryPolicy{Backoff: "slow"}}
		host := w.Start(worker.Config{}, world.Handles(f, func(context.Context, args) (int, error) { return 0, nil }),
			world.Handles(refcache.Func[json.RawMessage, int]{Name: "any"}, func(context.Context, json.RawMessage) (int, error) { return 0, nil }),
			world.Handles(refcache.Func[int, int]{Name: "far", Queue: "q"}, func(context.Context, int) (int, error) { return 0, nil }))
		time.Sleep(time.Second)
		now := w.declaredNow()
		require.Len(w, now, 2)
		want, err := f.Policy()
		require.NoError(w, err)
		want.Name, want.Version, want.Queue, want.FailureAnswer = "", 0, "", refcache.FailureAnswer{}
		require.Equal(w, declared.Function{Policy: want, Members: map[string]bool{"url": true, "page": false, "Size": true}}, now["page@2"])
		require.True(w, now["any@1"].TakesAll)
		host.Stop()
		require.Empty(w, w.declaredNow(), "it lives no longer")
	})
}

func TestWorkersDeclareGatesAndHowTurnsAreFound(t *testing.T) {
	inHouse(t, func(w *house) {
		fields := refcache.TurnFields{Key: []string{"/host"}, Share: []string{"/tenant"}, Ahead: 1500 * time.Millisecond}
		handles := func(f refcache.Func[visit, int]) func(*worker.Worker) {
			f.Gate = refcache.Gate{Name: "maps", Each: 5, Rate: refcache.Rate{N: 3, Per: 7 * time.Second}, MostWaiting: 9}
			return world.Handles(f, nothing[visit])
		}
		w.Start(worker.Config{}, handles(refcache.Func[visit, int]{Name: "fields", TurnFields: fields}), handles(refcache.Func[visit, int]{Name: "gate"}),
			handles(refcache.Func[visit, int]{Name: "func", Turn: func(visit) refcache.Turn { return refcache.Turn{} }}),
			world.Handles(refcache.Func[visit, int]{Name: "none"}, nothing[visit]))
		time.Sleep(time.Second)
		now, args := w.declaredNow(), []byte(`{"host":"h","tenant":7}`)
		for name, want := range map[string]store.Turn{"fields@1": store.NewTurn("maps", "h", "7", 1500*time.Millisecond), "gate@1": {Gate: "maps"}, "func@1": {}, "none@1": {}} {
			require.Equal(w, want, now[name].TurnOf(args), name)
			if name != "none@1" {
				require.Equal(w, refcache.Gate{Name: "maps", Each: 5, All: refcache.Slots, Rate: refcache.Rate{N: 3, Per: 7 * time.Second, Burst: 1}, MostWaiting: 9},
					now[name].Policy.Gate)
			}
		}
		require.Equal(w, &fields, now["fields@1"].Turn)
		require.Zero(w, now["none@1"].Policy.Gate)
	})
}

// Before a worker takes its first call everybody can know what it declares.
func TestWorkersDeclareBeforeTheyTake(t *testing.T) {
	inHouse(t, func(w *house) {
		var order []string
		var mu sync.Mutex
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			mu.Lock()
			defer mu.Unlock()
			switch all := strings.Join(cmd, " "); {
			case strings.Contains(all, `"policy"`) && strings.Contains(all, `"functions"`):
				order = append(order, "declares")
			case strings.HasPrefix(cmd[0], "EVAL") && strings.Contains(all, "asynq:{default}:pending"):
				order = append(order, "takes")
			}
			return memredis.Pass
		})
		w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		time.Sleep(3 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(w, []string{"declares", "takes"}, slices.Compact(order)[:2])
	})
}

// Redis has lost everything: the next beats bring it back.
func TestWhatIsDeclaredComesBackAfterAFlush(t *testing.T) {
	inHouse(t, func(w *house) {
		w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		time.Sleep(time.Second)
		require.Len(w, w.declaredKeys(), 1)
		require.NoError(w, w.Redis.FlushAll(w.Context()).Err())
		time.Sleep(5 * time.Second)
		require.Len(w, w.declaredNow(), 1)
	})
}

// The text is kept for ten minutes from its last renewal, and renewed each minute.
func TestWhatIsDeclaredIsRenewed(t *testing.T) {
	inHouse(t, func(w *house) {
		host := w.Start(worker.Config{}, world.Handles(work, failing(0).run))
		time.Sleep(15 * time.Minute)
		require.Len(w, w.declaredNow(), 1)
		left := w.Redis.PTTL(w.Context(), w.declaredKeys()[0]).Val()
		require.Greater(w, left, 9*time.Minute-5*time.Second)
		host.Stop()
		time.Sleep(11 * time.Minute)
		require.Empty(w, w.declaredKeys())
	})
}

func TestOfTwoDeclarationsTheLaterStartedWorkersCounts(t *testing.T) {
	inHouse(t, func(w *house) {
		for n := range 3 {
			f := work
			f.Timeout = time.Duration(n+1) * time.Minute
			w.Start(worker.Config{}, world.Handles(f, failing(0).run))
			time.Sleep(time.Second)
			require.Equal(w, f.Timeout, w.declaredNow()["work@1"].Policy.Timeout)
		}
	})
}

func TestWhoDeclaresTooMuchIsRefused(t *testing.T) {
	inHouse(t, func(w *house) {
		many := worker.New(w.Redis, worker.Config{})
		for n := range 501 {
			f := work
			f.Name = fmt.Sprint("f", n)
			worker.Handle(many, f, failing(0).run)
		}
		require.ErrorContains(w, many.Run(w.Context()), "worker: queue default: 501 functions, may be 500")
	})
}
