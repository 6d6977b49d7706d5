package api_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/web/api"
)

// stream is an open stream of events.
type stream struct {
	*world
	res   *http.Response
	lines <-chan string
	close func()
}

// read reads lines as they come: a pipe without a reader would hold the server up.
func read(body io.Reader) <-chan string {
	lines := make(chan string, 10_000)
	go func() {
		defer close(lines)
		for from := bufio.NewScanner(body); from.Scan(); {
			lines <- from.Text()
		}
	}()
	return lines
}

func (w *world) open(path string, header ...string) *stream {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", "http://localhost"+api.Base+path, nil)
	require.NoError(w, err)
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := w.client.Do(r)
	require.NoError(w, err)
	s := &stream{w, res, read(res.Body), func() { cancel(); _ = res.Body.Close() }}
	w.Cleanup(s.close)
	return s
}

// event is a server-sent event; a comment has text only.
type event struct{ kind, id, data, text string }

// next reads an event; false: the stream has ended.
func (s *stream) next() (e event, ok bool) {
	for line := range s.lines {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "":
			if line == "" {
				return e, true
			}
			e.text = value
		case "event":
			e.kind = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		default:
			e.text = line
		}
	}
	return e, false
}

func (s *stream) must(kind string) event {
	s.Helper()
	e, ok := s.next()
	require.True(s, ok, "the stream has ended")
	require.Equal(s, kind, e.kind, "%+v", e)
	return e
}

func TestAStreamTellsEveryStateUntilTheEnd(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		a := w.ask("POST", "/calls", `{"func":"steps","args":"<&>","wait":0}`)
		s := w.open("/calls/" + a.ref(w) + "?format=full")
		require.Equal(w, "text/event-stream", s.res.Header.Get("Content-Type"))
		e, _ := s.next()
		require.Equal(w, "retry: 2000", e.text)
		var seen []string
		for {
			e, ok := s.next()
			require.True(w, ok)
			fields := answer{body: e.data}.fields(w)
			text := fields["status"].(string)
			if progress, ok := fields["progress"].(object); ok && text == "processing" {
				text += " " + progress["message"].(string) + " " + []string{"", "1", "2", "3"}[int(progress["current"].(float64))]
			}
			seen = append(seen, text)
			if e.kind == "end" {
				require.Regexp(w, `^complete-\d+$`, e.id)
				require.Equal(w, w.ask("GET", "/calls/"+a.ref(w)+"?format=full", "").body, e.data+"\n")
				break
			}
			require.Equal(w, "state", e.kind)
		}
		require.Subset(w, seen, []string{"processing step 1", "processing step 2", "processing step 3"})
		require.Equal(w, "complete", seen[len(seen)-1])
		require.Less(w, len(seen), 8, "a state is told once")
		_, more := s.next()
		require.False(w, more)
	})
}

func TestAStreamTellsOfTheEndAtOnce(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		ref := w.ask("POST", "/calls", `{"func":"hold","wait":"100ms"}`).ref(w)
		s := w.open("/calls/" + ref)
		s.must("")
		s.must("state")
		time.Sleep(10*time.Second + 100*time.Millisecond) // between two looks
		start := time.Now()
		w.held <- struct{}{}
		s.must("end")
		require.Less(w, time.Since(start), 50*time.Millisecond)
	})
}

func TestAQuietStreamShowsThatItLives(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		s := w.open("/calls/" + w.pending())
		s.must("")
		s.must("state")
		require.Contains(w, s.must("state").data, "no living worker serves queue media")
		start := time.Now()
		for range 40 {
			require.Equal(w, "still here", s.must("").text)
		}
		require.Equal(w, 10*time.Minute, time.Since(start), "every 15 s, beyond all limits of the server's")
	})
}

func TestABrowserThatAsksForAnEndedStreamAgainIsStopped(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		path := "/calls/" + w.ended(`{"func":"echo"}`).ref(w)
		s := w.open(path)
		s.must("")
		end := s.must("end")
		require.Equal(w, http.StatusNoContent, w.ask("GET", path, "", "Accept", "text/event-stream", "Last-Event-ID", end.id).code)
		s = w.open(path, "Last-Event-ID", "complete-1")
		s.must("")
		s.must("end")
	})
}

func TestAStreamTellsThatItsCallIsGone(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		ref := w.pending()
		s := w.open("/calls/" + ref)
		s.must("")
		s.must("state")
		require.NoError(w, deleteRecord(w, ref))
		require.Contains(w, s.must("gone").data, "urn:refq:problem:task-not-found")
		_, more := s.next()
		require.False(w, more)
		w.ask("GET", "/calls/"+ref, "", "Accept", "text/event-stream").problem(w, http.StatusNotFound, "task-not-found")
	})
}

func deleteRecord(w *world, ref string) error {
	rdb := w.Server.Client()
	defer rdb.Close()
	queue, hash, _ := strings.Cut(ref, ":")
	return rdb.Del(w.Context(), "refq:{"+queue+"}:t:"+hash).Err()
}

func TestAStreamOutlivesAnOutageOfRedis(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		ref := w.pending()
		s := w.open("/calls/" + ref)
		s.must("")
		s.must("state")
		w.Server.SetFaults(func(cmd []string) memredis.Fault {
			if strings.HasPrefix(cmd[0], "EVAL") { // what pings the subscription does not bear an outage in a bubble
				return memredis.DropRequest
			}
			return memredis.Pass
		})
		require.Equal(w, "still here", s.must("").text)
		w.Server.SetFaults(nil)
		require.Equal(w, http.StatusOK, w.ask("POST", "/calls/"+ref+"/cancel", "").code)
		require.Contains(w, s.must("end").data, `"status":"cancelled"`)
	})
}

func TestStreamsAndPollsEndWhenTheServerStops(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		ref := w.pending()
		s := w.open("/calls/" + ref)
		s.must("")
		s.must("state")
		polled, called := make(chan answer, 1), make(chan answer, 1)
		go func() { polled <- w.ask("GET", "/calls/"+ref+"?wait=5m", "") }()
		go func() { called <- w.ask("POST", "/calls", `{"func":"absent","args":2,"wait":"5m"}`) }()
		synctest.Wait()
		start := time.Now()
		require.NoError(w, w.stop())
		_, more := s.next()
		require.False(w, more)
		require.Equal(w, http.StatusAccepted, (<-polled).code)
		require.Equal(w, http.StatusAccepted, (<-called).code)
		require.Less(w, time.Since(start), time.Second)
	})
}

func TestAReaderThatHasGoneEndsItsStream(t *testing.T) {
	inWorld(t, setup{maxRequests: 1}, func(w *world) {
		ref := w.pending()
		s := w.open("/calls/" + ref)
		s.must("")
		s.must("state")
		w.ask("GET", "/calls/"+ref+"?wait=1s", "").problem(w, http.StatusTooManyRequests, "too-many-requests")
		s.close()
		synctest.Wait()
		require.Equal(w, http.StatusAccepted, w.ask("GET", "/calls/"+ref+"?wait=1s", "").code, "its place is free")
	})
}

func TestAReaderThatDoesNotReadIsDropped(t *testing.T) {
	inWorld(t, setup{maxRequests: 1}, func(w *world) {
		ref := w.pending()
		conn, err := w.client.Transport.(*http.Transport).DialContext(w.Context(), "", "")
		require.NoError(w, err)
		defer conn.Close()
		_, err = io.WriteString(conn, "GET /api/v1/calls/"+ref+" HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
		require.NoError(w, err)
		time.Sleep(20 * time.Second)
		require.Equal(w, http.StatusTooManyRequests, w.ask("GET", "/calls/"+ref+"?wait=1s", "").code)
		time.Sleep(20 * time.Second)
		require.Equal(w, http.StatusAccepted, w.ask("GET", "/calls/"+ref+"?wait=1s", "").code)
	})
}
