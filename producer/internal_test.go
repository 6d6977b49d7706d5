package producer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzEnd: whatever is published to an inbox, it names the end of a cycle or is passed over.
func FuzzEnd(f *testing.F) {
	for _, seed := range []string{"media:0123456789abcdef0123456789abcdef 1 complete", "", " ", "a", "a b", "a 1", "a 99999999999999999999", "a -1 \x00", "\xff 2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, message string) {
		ref, cycle, ok := parseEnd(message)
		if !ok {
			return
		}
		again, same, ok := parseEnd(fmt.Sprintf("%s %d complete", ref, cycle))
		require.True(t, ok)
		require.Equal(t, ref, again)
		require.Equal(t, cycle, same)
		require.False(t, strings.ContainsAny(string(ref), " \n\t"))

		b := newInbox(nil, "x") // nobody waits, or waits for something else
		b.tell(ref, cycle)
	})
}
