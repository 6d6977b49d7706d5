package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
)

func TestOpenSlotsAndSilentReplicasAreReadFromWhatANodeTells(t *testing.T) {
	t.Parallel()
	open, silent := store.OpenSlots(`aa 10.0.0.1:1@2 myself,master - 0 1 1 connected 0-76 78 [77->-bb] [90-<-cc]
bb 10.0.0.2:1@2 master - 0 1 2 connected 100-200 [5->-aa]
cc 10.0.0.3:1@2 slave aa 0 1 1 connected
dd 10.0.0.4:1@2 slave,fail aa 0 1 1 disconnected
ee 10.0.0.5:1@2 slave,fail bb 0 1 1 disconnected
`)
	require.Equal(t, []string{"77", "90"}, open)
	require.Equal(t, []string{"10.0.0.4:1"}, silent)
}
