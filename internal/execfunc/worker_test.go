//go:build unix

package execfunc

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/refqtest"
	"github.com/refq/refq/worker"
)

func TestACommandServesCallsOnAWorker(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	f := refcache.Func[json.RawMessage, json.RawMessage]{
		Name: "thumb", AsyncTimeout: time.Minute,
		Retry: refcache.RetryPolicy{MaxRetries: 1, Delay: -1},
	}
	c := sh(`case $(cat) in
		'"env"') printf '["%s", "%s", %s, %s]' "$REFQ_REF_ID" "$REFQ_FUNCTION" "$REFQ_ATTEMPT" "$REFQ_MAX_RETRIES";;
		'"hang"') echo refq-progress: 3/10 indexing >&2; echo last words >&2; exec sleep 1000;;
		'"bad"') echo bad data >&2; exit 65;;
	esac`)
	p := refqtest.Start(t, func(w *worker.Worker) { worker.Handle(w, f, c.Run) })

	res, err := producer.Call(t.Context(), p, f, json.RawMessage(`"env"`))
	require.NoError(t, err)
	require.Equal(t, `["`+string(res.RefID)+`", "thumb", 1, 1]`, string(res.Value))

	res, err = producer.Call(t.Context(), p, f, json.RawMessage(`"bad"`))
	require.ErrorContains(t, err, "exit status 65: bad data")
	require.True(t, res.CanRetry, "it is permanent: the retry is left")

	const enough = 10 * time.Second // for the last words, on a busy machine
	f.Timeout, f.Retry.MaxRetries = enough, refcache.NoRetries
	res, err = producer.Call(t.Context(), p, f, json.RawMessage(`"hang"`))
	var failed *refcache.TaskError
	require.ErrorAs(t, err, &failed)
	require.True(t, res.Exhausted)
	require.Equal(t, "timed out after 10s\nlast words", failed.Info.Error)
	require.Equal(t, refcache.CauseTimeout, failed.Info.ErrorCause)
	require.Equal(t, "indexing", failed.Info.Progress.Message)
}
