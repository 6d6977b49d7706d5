package codec_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/refcache"
)

// The ref_ids in testdata/refs.json can never change: results are stored under them. To compute one without this
// package, hash the parts with their lengths:
//
//	printf '7:default5:thumb1:12:{}' | sha256sum | cut -c1-32
func TestRefsNeverChange(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/refs.json")
	require.NoError(t, err)
	var golden []struct {
		Namespace, Queue, Function string
		Version                    int
		Args, Canonical            string
		Ref                        refcache.Ref
	}
	require.NoError(t, json.Unmarshal(data, &golden))
	require.Len(t, golden, 10)
	for _, g := range golden {
		canonical, err := codec.Canonical([]byte(g.Args))
		require.NoError(t, err)
		require.Equal(t, g.Canonical, string(canonical))
		require.Equal(t, g.Ref, codec.NewRef(g.Namespace, g.Queue, g.Function, g.Version, canonical))
	}
}

func TestEveryPartOfACallIsPartOfItsRef(t *testing.T) {
	t.Parallel()
	refs := []refcache.Ref{
		codec.NewRef("default", "default", "thumb", 1, []byte("{}")),
		codec.NewRef("other", "default", "thumb", 1, []byte("{}")),
		codec.NewRef("default", "other", "thumb", 1, []byte("{}")),
		codec.NewRef("default", "default", "other", 1, []byte("{}")),
		codec.NewRef("default", "default", "thumb", 11, []byte("{}")),
		codec.NewRef("default", "default", "thumb", 1, []byte("[]")),
		codec.NewRef("defaul", "default", "tthumb", 1, []byte("{}")),
		codec.NewRef("default", "default", "thumb1", 1, []byte("{}")),
		codec.NewRef("default7", "default", "thumb", 1, []byte("{}")),
	}
	seen := map[refcache.Ref]bool{}
	for _, ref := range refs {
		parsed, err := refcache.ParseRef(string(ref))
		require.NoError(t, err)
		require.Equal(t, ref, parsed)
		require.False(t, seen[ref], "%s twice", ref)
		seen[ref] = true
	}
}

func TestTheQueueIsNotHashed(t *testing.T) {
	t.Parallel()
	ref, other := codec.NewRef("n", "a", "f", 1, []byte("1")), codec.NewRef("n", "b", "f", 1, []byte("1"))
	require.Equal(t, "a", ref.Queue())
	require.Equal(t, ref.Hash(), other.Hash())
}

func FuzzNewRef(f *testing.F) {
	f.Add("default", "thumb", 1, []byte("{}"))
	f.Add("", "", 0, []byte(nil))
	f.Add("7:default", "1:f", -1, []byte(`{"a":1}`))
	f.Add("ü\xff", "日本", 1<<31, bytes.Repeat([]byte("x"), 1000))
	f.Fuzz(func(t *testing.T, namespace, function string, version int, args []byte) {
		ref := codec.NewRef(namespace, "media", function, version, args)
		number := fmt.Sprint(version)
		text := fmt.Sprintf("%d:%s%d:%s%d:%s%d:%s", len(namespace), namespace, len(function), function,
			len(number), number, len(args), args)
		require.Equal(t, fmt.Sprintf("media:%x", sha256.Sum256([]byte(text)))[:len("media:")+32], string(ref))
		_, err := refcache.ParseRef(string(ref))
		require.NoError(t, err)
	})
}

func BenchmarkNewRef(b *testing.B) {
	for _, size := range []int{100, 1 << 20} {
		args := bytes.Repeat([]byte("x"), size)
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				codec.NewRef("default", "media", "thumb", 1, args)
			}
		})
	}
}
