package refcache_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
)

const hash = "0123456789abcdef0123456789abcdef"

func TestRefsAreQueueAndHash(t *testing.T) {
	t.Parallel()
	for _, queue := range []string{"default", "a", "0", "Media", "a.b", "a-b", "a_b", "a..-_", strings.Repeat("q", 128)} {
		ref, err := refcache.ParseRef(queue + ":" + hash)
		require.NoError(t, err, queue)
		require.Equal(t, refcache.Ref(queue+":"+hash), ref)
		require.Equal(t, queue, ref.Queue())
		require.Equal(t, hash, ref.Hash())
	}
}

func TestTextOfAnotherFormIsNoRef(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", ":", "default", "default:", hash, ":" + hash, "default" + hash, "default::" + hash, "a:b:" + hash,
		"default:" + hash[1:], "default:" + hash + "0", "default:" + strings.ToUpper(hash), "default:g" + hash[1:],
		"default:" + hash + "\n", "\ndefault:" + hash, " default:" + hash, "default: " + hash[1:], "default:" + hash + ":",
		"a/b:" + hash, ".a:" + hash, "-a:" + hash, "_a:" + hash, "a b:" + hash, "{a}:" + hash, "ä:" + hash,
		strings.Repeat("q", 129) + ":" + hash, "default:" + hash + ".2", "default：" + hash,
	} {
		ref, err := refcache.ParseRef(text)
		require.ErrorIs(t, err, refcache.ErrInvalidRef, "%q", text)
		require.Empty(t, ref)
	}
}

// Every byte, put at every place of a ref_id, also in place of the one there.
func TestOneWrongByteMakesNoRef(t *testing.T) {
	t.Parallel()
	const queue = "me-dia"
	const valid = queue + ":" + hash
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	for b := range 256 {
		char := string([]byte{byte(b)})
		for at := range len(valid) + 1 {
			inserted := valid[:at] + char + valid[at:]
			switch {
			case at == 0:
				requireRef(t, inserted, strings.Contains(letters, char))
			case at <= len(queue):
				requireRef(t, inserted, strings.Contains(letters+"._-", char))
			default:
				requireRef(t, inserted, false)
			}
			if at > len(queue) && at < len(valid) {
				replaced := valid[:at] + char + valid[at+1:]
				requireRef(t, replaced, strings.Contains("0123456789abcdef", char))
			}
		}
	}
}

func requireRef(t *testing.T, text string, want bool) {
	t.Helper()
	if _, err := refcache.ParseRef(text); (err == nil) != want {
		t.Fatalf("ParseRef(%q): %v, want a ref: %v", text, err, want)
	}
}

func TestTheErrorOfParseRefShowsTheTextButNotAllOfIt(t *testing.T) {
	t.Parallel()
	_, err := refcache.ParseRef("medai")
	require.EqualError(t, err, `invalid ref_id: "medai" is not of the form QUEUE:32-HEX-DIGITS`)
	_, err = refcache.ParseRef("a\x1b[2Jb")
	require.NotContains(t, err.Error(), "\x1b")
	_, err = refcache.ParseRef(strings.Repeat("x", 1<<20))
	require.Less(t, len(err.Error()), 200)
}

func FuzzParseRef(f *testing.F) {
	for _, seed := range []string{"default:" + hash, "", ":", "a:b:" + hash, "\xff:" + hash, "a/b:" + hash, "default:" + hash + "\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := refcache.ParseRef(text)
		if err != nil {
			require.ErrorIs(t, err, refcache.ErrInvalidRef)
			require.Empty(t, ref)
			require.Less(t, len(err.Error()), 500) // eighty bytes of the text, each escaped
			return
		}
		require.Equal(t, text, string(ref))
		require.Equal(t, text, ref.Queue()+":"+ref.Hash())
		require.Len(t, ref.Hash(), 32)
		require.Equal(t, strings.ToLower(ref.Hash()), ref.Hash())
		require.NotContains(t, ref.Queue(), "/")
		require.NotContains(t, ref.Queue(), "{") // it stands between the braces of a Redis hash tag
		require.NotContains(t, ref.Queue(), "}")
	})
}
