//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/refq/refq"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// floodCalls is how many identical calls one flood makes at once.
const floodCalls = 300

type (
	words  struct{ Words []string }
	counts struct{ Count int }
)

// declared is f of a site as a Go program declares it.
func declared(queue string) refcache.Func[words, counts] {
	return refcache.Func[words, counts]{Name: "f", Queue: queue, AsyncTimeout: time.Minute}
}

// flood is the puppet that makes many identical calls at once, and says how often it got which answer.
func flood() {
	rdb, err := refq.Connect(os.Getenv("REFQ_REDIS"))
	must(err)
	p := producer.New(rdb, producer.Config{})
	f := declared(os.Getenv("E2E_QUEUE"))
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	for range floodCalls {
		wg.Go(func() {
			res, err := producer.Call(context.Background(), p, f, words{[]string{"to", "be"}})
			must(err)
			text, err := json.Marshal(res.Value)
			must(err)
			mu.Lock()
			defer mu.Unlock()
			answers[string(text)]++
		})
	}
	wg.Wait()
	must(json.NewEncoder(os.Stdout).Encode(answers))
	os.Exit(0)
}

func (s *site) flood() *process {
	s.t.Helper()
	return start(s.t, s.dir, []string{stageVariable + "=" + s.listener.Addr().String(), roleVariable + "=flood",
		"REFQ_REDIS=" + s.redis, "E2E_QUEUE=" + s.queue, testkit.NoSleep}, testBinary(s.t))
}

func TestIdenticalCallsOfTwoProducersRunOnceOnTwoWorkers(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 5)
	s := newSite(t, nil)
	s.worker()
	s.worker()
	floods := []*process{s.flood(), s.flood()}
	one, two := s.nextIn("flood"), s.nextIn("flood")
	one.do(order{})
	two.do(order{})
	s.next().succeed(`{"Count":2}`)
	for _, f := range floods {
		require.Zero(t, f.exitCode())
		require.JSONEq(t, `{"{\"Count\":2}":300}`, strings.TrimSpace(f.stdout.String()))
	}
	require.JSONEq(t, `{"Count":2}`, string(s.call(`{"Words":["to","be"]}`).answer(0).Value))
	require.EqualValues(t, 1, s.commands.Load())
}
