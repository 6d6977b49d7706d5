package producer_test

import (
	"testing"

	kit "github.com/refq/refq/internal/testkit/world"

	"github.com/refq/refq/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// office is the world of most tests, with what this package's tests ask of it.
type office struct{ *kit.Office }

func inOffice(t *testing.T, test func(w *office)) {
	t.Helper()
	kit.InOffice(t, func(o *kit.Office) { test(&office{o}) })
}
