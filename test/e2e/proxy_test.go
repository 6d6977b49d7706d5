//go:build unix

package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/netproxy"
)

// newProxy is a way to the Redis at url over which things can go wrong.
func newProxy(t *testing.T, url string) *netproxy.Proxy {
	t.Helper()
	p, err := netproxy.Listen(strings.TrimPrefix(url, "redis://"))
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}
