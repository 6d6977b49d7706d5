package store_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestResultsOverAKilobyteAreStoredCompressed(t *testing.T) {
	onBoth(t, func(q *queue) {
		random := make([]byte, 3000)
		_, _ = rand.Read(random)
		for name, c := range map[string]struct {
			result   []byte
			encoding string
		}{
			"empty":            {[]byte{}, ""},
			"small":            {[]byte(`{"a":1}`), ""},
			"exactly 1 KiB":    {[]byte(strings.Repeat("a", 1024)), ""},
			"1 KiB and a byte": {[]byte(strings.Repeat("a", 1025)), "zstd"},
			"cannot be packed": {random, ""},
			"large":            {bytes.Repeat([]byte(`{"key":"value"},`), 1<<16), "zstd"},
		} {
			k := q.processing()
			q.end(k, q.Completed(c.result))
			h := q.hash(k.ref)
			require.Equal(q, c.encoding, h["result_encoding"], name)
			if c.encoding != "" {
				require.Less(q, len(h["result"]), len(c.result), name)
			}
			_, result, err := q.Result(q.Context(), k.ref, "")
			require.NoError(q, err, name)
			require.Equal(q, c.result, result, name)
			require.Equal(q, c.result, q.submit(k.ref, q.submission()).Result, name)
		}
	})
}

func TestSmallResultAfterALargeOneIsReadAsItIs(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.end(q.processing(), q.Completed(bytes.Repeat([]byte("a"), 2000)))
		c := q.submission()
		c.Refresh = true
		q.submit(k.ref, c)
		q.end(q.start(k), q.Completed([]byte("2")))
		_, result, err := q.Result(q.Context(), k.ref, "")
		require.NoError(q, err)
		require.Equal(q, "2", string(result))
	})
}

func TestResultThatCannotBeUnpackedIsAnError(t *testing.T) {
	onBoth(t, func(q *queue) {
		k := q.end(q.processing(), q.Completed(bytes.Repeat([]byte("a"), 2000)))
		packed := q.hash(k.ref)["result"]
		for name, c := range map[string]struct{ stored, encoding, complaint string }{
			"garbage":          {"garbage", "zstd", "unpack result"},
			"cut":              {packed[:len(packed)/2], "zstd", "unpack result"},
			"unknown encoding": {"x", "snappy", `unknown encoding "snappy"`},
		} {
			q.set(k.ref, "result", c.stored, "result_encoding", c.encoding)
			_, _, err := q.Result(q.Context(), k.ref, "")
			require.ErrorContains(q, err, c.complaint, name)
			require.ErrorContains(q, err, string(k.ref), name)
			_, err = q.Submit(q.Context(), k.ref, q.submission())
			require.ErrorContains(q, err, c.complaint, name)
			_, err = q.Info(q.Context(), k.ref)
			require.NoError(q, err, "who does not read the result is not troubled by it")
		}
	})
}

func TestResultsAreReadConcurrently(t *testing.T) {
	onBoth(t, func(q *queue) {
		var readers sync.WaitGroup
		wrong := make(chan string, 8)
		for i := range cap(wrong) {
			want := bytes.Repeat([]byte{byte('a' + i)}, 5000)
			k := q.end(q.processing(), q.Completed(want))
			readers.Go(func() {
				for range 20 {
					if _, got, err := q.Result(q.Context(), k.ref, ""); err != nil || !bytes.Equal(got, want) {
						wrong <- fmt.Sprint(err, len(got))
						return
					}
				}
			})
		}
		readers.Wait()
		require.Empty(q, wrong)
	})
}
