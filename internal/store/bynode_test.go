package store_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/monitor"
)

func TestWhatIsMissingIsToldOncePerNode(t *testing.T) {
	t.Parallel()
	why := errors.New("no answer")
	err := store.Partial([]monitor.Missing{{Node: "b:1", Err: why}, {Node: "b:1", Queues: []string{"q5"}, Err: why},
		{Node: "a:1", Queues: []string{"q2"}, Err: why}, {Node: "b:1", Queues: []string{"q1", "q5"}, Err: why}}, true)
	require.EqualError(t, err, "node a:1 does not answer: queue q2 is missing; node b:1 does not answer: queues q1, q5 are missing")
	require.ErrorIs(t, err, why)
	var partial *monitor.PartialError
	require.ErrorAs(t, err, &partial)
	require.NoError(t, store.Partial(nil, true))
	require.NoError(t, store.Partial(nil, false), "there is nothing to miss")

	err = store.Partial([]monitor.Missing{{Node: "b:1", Queues: []string{"q5"}, Err: why}}, false)
	require.EqualError(t, err, "node b:1 does not answer: queue q5 is missing: no answer")
	require.False(t, errors.As(err, &partial), "nothing is there")
}
