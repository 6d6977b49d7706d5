//go:build unix

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

func TestACallThroughASentinel(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 5)
	master := testkit.New(t)
	host, port, err := net.SplitHostPort(master.Addr)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "sentinel.conf") // which the Sentinel writes, too
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "sentinel monitor main %s %s 1\n", host, port), 0o600))
	sentinel := testkit.New(t, file, "--sentinel")

	s := newSiteAt(t, "redis-sentinel://"+sentinel.Addr+"/0?master=main", nil, nil)
	s.callAndResult()
}

func TestACallInACluster(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	node := testkit.New(t, "--cluster-enabled", "yes")
	s := newSiteAt(t, node.Addr+",", nil, nil)
	rdb := connect(t, node.Addr)
	require.NoError(t, rdb.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	require.Eventually(t, func() bool {
		return strings.Contains(rdb.ClusterInfo(t.Context()).Val(), "cluster_state:ok")
	}, soon, 20*time.Millisecond)
	s.callAndResult()
}

// callAndResult sees a call through: made, failed, retried, waited for, read.
func (s *site) callAndResult() {
	s.t.Helper()
	s.worker()
	call := s.call("{}", "--retry-delay", "0")
	s.next().fail(1, "")
	s.next().succeed("1")
	made := call.answer(0)
	require.Equal(s.t, "1\n", s.refq("result", string(made.RefID)).stdout.String())
	require.Equal(s.t, made, s.call("{}").answer(0))
	require.EqualValues(s.t, 2, s.commands.Load())
}
