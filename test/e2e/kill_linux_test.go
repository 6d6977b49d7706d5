package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

func TestAKilledWorkerLeavesNoCommandBehind(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	s := newSite(t, nil)
	w := s.worker()
	s.submit(`{"n":1}`)
	s.submit(`{"n":2}`)
	commands := []*actor{s.next(), s.next()}
	w.kill()
	killed := time.Now()
	for _, c := range commands {
		c.isGone()
	}
	require.Less(t, time.Since(killed), testkit.Within(5*time.Second))
}
