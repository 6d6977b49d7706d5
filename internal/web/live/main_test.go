package live_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
	kit "github.com/refq/refq/internal/testkit/world"
	"github.com/refq/refq/internal/web/live"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func TestMain(m *testing.M) { testkit.Main(m) }

type raw = json.RawMessage

// world is a producer and an admin in a bubble, and what follows calls.
type world struct {
	*kit.World
	p     *producer.Producer
	a     *admin.Admin
	calls *live.Calls
}

func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	kit.In(t, func(k *kit.World) {
		w := &world{World: k, p: k.NewProducer(producer.Config{}), a: k.NewAdmin(admin.Config{})}
		w.calls = live.NewCalls(w.p)
		test(w)
		require.Zero(t, w.calls.Watched(), "nobody watches, and nothing is followed")
	})
}

var function = refcache.Func[raw, raw]{Name: "f", Retry: refcache.RetryPolicy{MaxRetries: refcache.NoRetries}}

// work runs a worker whose function does what the test says, until the test ends.
func (w *world) work(f func(context.Context) error) {
	w.Start(worker.Config{ShutdownTimeout: -1}, kit.Handles(function, func(ctx context.Context, in raw) (raw, error) { return in, f(ctx) }))
}

func (w *world) submit() refcache.Ref {
	w.Helper()
	ref, err := producer.Submit(w.Context(), w.p, function, raw("1"))
	require.NoError(w, err)
	return ref
}

// next returns what a viewer sees next, and how long that took.
func (w *world) next(v *live.Viewer[live.Call]) (live.Call, time.Duration) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	start := time.Now()
	call, err := v.Next(ctx)
	require.NoError(w, err)
	return call, time.Since(start)
}

// until looks on until a call is in a status.
func (w *world) until(v *live.Viewer[live.Call], status refcache.Status) live.Call {
	w.Helper()
	for {
		call, _ := w.next(v)
		if call.Status == status {
			return call
		}
	}
}

// countSent counts the commands that are sent to Redis from now on, and the subscriptions among them.
func (w *world) countSent() (commands, subscriptions *atomic.Int64) {
	commands, subscriptions = new(atomic.Int64), new(atomic.Int64)
	w.Server.SetFaults(func(cmd []string) memredis.Fault {
		commands.Add(1)
		if cmd[0] == "SUBSCRIBE" {
			subscriptions.Add(1)
		}
		return memredis.Pass
	})
	return commands, subscriptions
}

var errDown = errors.New("down")
