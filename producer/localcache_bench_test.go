package producer_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// parcel has 128 bytes as JSON.
type parcel struct {
	ID  string `json:"id"`
	Pad string `json:"pad"`
}

var inParcel = parcel{"0000000001", strings.Repeat("x", 100)}

var carry = refcache.Func[parcel, parcel]{Name: "carry"}

// newKeeper returns a producer that keeps the result of carrying inParcel in its memory, and the ref_id of that.
func newKeeper(tb testing.TB) (*producer.Producer, refcache.Ref) {
	tb.Helper()
	server, err := memredis.New()
	require.NoError(tb, err)
	tb.Cleanup(server.Close)
	rdb := server.Client()
	tb.Cleanup(func() { require.NoError(tb, rdb.Close()) })
	p := producer.New(rdb, producer.Config{LocalCache: producer.LocalCache{Entries: 1000, Stale: time.Hour}})
	tb.Cleanup(func() { require.NoError(tb, p.Close()) })

	w := worker.New(rdb, worker.Config{Logger: slog.New(slog.DiscardHandler)})
	worker.Handle(w, carry, func(_ context.Context, in parcel) (parcel, error) { return in, nil })
	ctx, stop := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	res, err := producer.Call(tb.Context(), p, carry, inParcel)
	require.NoError(tb, err)
	require.True(tb, res.IsComplete)
	stop()
	require.NoError(tb, <-ended)

	return p, res.RefID
}

// BenchmarkLocalGet looks a result up in this process's memory, by ref_id, as JSON.
func BenchmarkLocalGet(b *testing.B) {
	p, ref := newKeeper(b)
	b.ReportAllocs()
	for b.Loop() {
		if res, err := p.Get(b.Context(), ref); err != nil || len(res.Value) != 128 {
			b.Fatal(fmt.Sprint(err, len(res.Value)))
		}
	}
}

// BenchmarkLocalCall finds the result of a call in this process's memory: arguments to JSON, their canonical form, the
// ref_id, the look-up, and the result from JSON.
func BenchmarkLocalCall(b *testing.B) {
	p, _ := newKeeper(b)
	b.ReportAllocs()
	for b.Loop() {
		if res, err := producer.Call(b.Context(), p, carry, inParcel); err != nil || res.Value != inParcel {
			b.Fatal(err)
		}
	}
}

// BenchmarkLocalDo is BenchmarkLocalCall by Do.
func BenchmarkLocalDo(b *testing.B) {
	p, _ := newKeeper(b)
	b.ReportAllocs()
	for b.Loop() {
		if out, err := producer.Do(b.Context(), p, carry, inParcel); err != nil || out != inParcel {
			b.Fatal(err)
		}
	}
}
