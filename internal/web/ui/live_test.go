package ui_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/internal/web/live"
	"github.com/refq/refq/internal/web/server"
	"github.com/refq/refq/internal/web/ui"
	"github.com/refq/refq/producer"
)

// stream is an open stream of events: what was sent is told by when, since its beginning.
type stream struct {
	*world
	code    int
	header  http.Header
	pieces  chan string
	started time.Time
	close   func()
}

func (s *stream) Header() http.Header { return s.header }
func (s *stream) WriteHeader(c int)   { s.code = c }
func (s *stream) Flush()              {}
func (s *stream) Write(p []byte) (int, error) {
	s.pieces <- string(p)
	return len(p), nil
}

func (w *world) open(topic string) *stream {
	ctx, cancel := context.WithCancel(w.Context())
	s := &stream{world: w, code: http.StatusOK, header: http.Header{}, pieces: make(chan string, 1000), started: time.Now()}
	done := make(chan struct{})
	r := httptest.NewRequestWithContext(ctx, "GET", "http://localhost/live?watch="+url.QueryEscape(topic), nil)
	go func() {
		defer close(done)
		w.pages.ServeHTTP(s, r)
	}()
	s.close = func() { cancel(); <-done }
	w.Cleanup(s.close)
	synctest.Wait()
	return s
}

// heard is all that was sent up to now.
func (s *stream) heard() string {
	synctest.Wait()
	var all strings.Builder
	for {
		select {
		case piece := <-s.pieces:
			all.WriteString(piece)
		default:
			return all.String()
		}
	}
}

const changed = "event: changed\ndata: 1\n\n"

func TestAPageThatFollowsACallHearsOfItsChangesOnly(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		ref := w.call("absent", `1`)
		other := w.call("absent", `2`)
		s := w.open(string(ref))
		time.Sleep(time.Second)
		require.Equal(w, "text/event-stream", s.header.Get("Content-Type"))
		require.Equal(w, "retry: 2000\n\n"+changed, s.heard(), "first of all it looks again: something may have happened meanwhile")
		require.NoError(w, w.p.Cancel(w.Context(), other))
		time.Sleep(5 * time.Second)
		require.Empty(w, s.heard())
		require.NoError(w, w.p.Cancel(w.Context(), ref))
		time.Sleep(time.Second)
		require.Equal(w, changed, s.heard())
	})
}

func TestAPageThatFollowsTheQueuesHearsOfAnyCall(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		s := w.open("queues")
		time.Sleep(4 * time.Second)
		require.Equal(w, "retry: 2000\n\n"+changed, s.heard())
		ref := w.call("absent", `1`) // waits for 5 s
		require.Contains(w, s.heard(), changed)
		require.NoError(w, w.p.Cancel(w.Context(), ref))
		time.Sleep(5 * time.Second) // until that is counted
		require.Contains(w, s.heard(), changed)
		time.Sleep(5 * time.Second)
		require.Empty(w, s.heard(), "nothing is in flight")
	})
}

func TestAQuietPageHearsThatItsStreamLives(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		ref := w.call("absent", `1`)
		s := w.open(string(ref))
		time.Sleep(time.Second)
		s.heard()
		time.Sleep(time.Minute)
		require.Equal(w, strings.Repeat(": still here\n\n", 4), s.heard())
	})
}

func TestNoMorePagesAreKeptLiveThanTheServerTakes(t *testing.T) {
	inWorld(t, setup{maxRequests: 2}, func(w *world) {
		first, second := w.open("queues"), w.open("queues")
		third := w.open("queues")
		require.Equal(w, http.StatusServiceUnavailable, third.code)
		require.Equal(w, http.StatusOK, w.get("/").code, "pages are still made")
		first.close()
		require.Equal(w, http.StatusOK, w.open("queues").code)
		require.Equal(w, http.StatusOK, second.code)
	})
}

func TestWhatIsNoRefIsNotFollowed(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		require.Equal(w, http.StatusBadRequest, w.get("/live?watch=nothing").code)
		require.Equal(w, http.StatusBadRequest, w.get("/live").code)
	})
}

func TestManyLivePagesCostRedisNoMoreThanOne(t *testing.T) {
	inWorld(t, setup{maxRequests: 200}, func(w *world) {
		w.call("absent", `1`)
		cost := func(pages int) int64 {
			sent := w.countCommands()
			var all []*stream
			for range pages {
				all = append(all, w.open("queues"))
			}
			time.Sleep(20 * time.Second)
			for _, s := range all {
				require.Contains(w, s.heard(), changed)
				s.close()
			}
			return sent.Load()
		}
		require.InEpsilon(w, cost(1), cost(200), .2)
	})
}

func TestAServerThatStopsEndsItsStreams(t *testing.T) {
	t.Parallel()
	redis, err := memredis.New()
	require.NoError(t, err)
	defer redis.Close()
	rdb := redis.Client()
	defer rdb.Close()
	p := producer.New(rdb, producer.Config{})
	defer p.Close()
	a := admin.New(rdb, admin.Config{})
	defer a.Close()
	log := slog.New(slog.DiscardHandler)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	pages := ui.New(p, p, a, live.NewCalls(p), config.Config{Web: config.Web{MaxRequests: 1}}, log)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l, access.New(access.Config{Logger: log}).Handler(pages), log) }()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get("http://" + l.Addr().String() + "/live?watch=queues")
	require.NoError(t, err)
	defer res.Body.Close()
	_, err = res.Body.Read(make([]byte, 1))
	require.NoError(t, err)
	stop()
	_, err = io.ReadAll(res.Body)
	require.NoError(t, err, "the stream is not cut off")
	require.NoError(t, <-served)
}
