package testkit_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestRoundsAreAShareAndAtLeastOne(t *testing.T) {
	t.Setenv("REFQ_TEST_ROUNDS", "")
	require.Equal(t, 100, testkit.Rounds(100))
	t.Setenv("REFQ_TEST_ROUNDS", "20")
	require.Equal(t, 20, testkit.Rounds(100))
	require.Equal(t, 1, testkit.Rounds(3))
	t.Setenv("REFQ_TEST_ROUNDS", "many")
	require.Panics(t, func() { testkit.Rounds(1) })
}

func TestBoundsAreWiderBesideOtherWork(t *testing.T) {
	t.Setenv("REFQ_TEST_STRESS", "")
	require.Equal(t, 15*time.Second, testkit.Within(5*time.Second))
	t.Setenv("REFQ_TEST_STRESS", "1")
	require.Equal(t, 50*time.Second, testkit.Within(5*time.Second))
}
