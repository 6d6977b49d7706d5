package doorbell

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
)

// FuzzPayload: whatever is enqueued in a queue of ours, it is a doorbell for a task of that queue or not ours.
func FuzzPayload(f *testing.F) {
	const hash = "0123456789abcdef0123456789abcdef"
	for _, payload := range []string{"media:" + hash, "other:" + hash, "media:" + hash + ".2", "", "{}", "\xff\x00", "media:" + hash + "\n"} {
		f.Add("media", []byte(payload))
	}
	f.Fuzz(func(t *testing.T, queue string, payload []byte) {
		ref, err := taskOf(queue, payload)
		if err != nil {
			require.Empty(t, ref)
			require.Less(t, len(err.Error()), 1000+len(queue))
			return
		}
		require.Equal(t, queue, ref.Queue())
		require.Equal(t, string(payload), string(ref))
		_, err = refcache.ParseRef(string(ref))
		require.NoError(t, err)
		require.Equal(t, string(payload), taskID(ref, 1))
	})
}
