package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/web/api"
)

// batchLine is an answer of a batch.
type batchLine struct {
	Line, Status int
	Response     struct {
		Ref    string `json:"ref_id"`
		Status string
		Value  any
	}
	Problem struct{ Type, Detail string }
}

// duplex is a batch under way.
type duplex struct {
	*world
	send  *io.PipeWriter
	lines <-chan string
}

func (w *world) batch(query string) *duplex {
	w.Helper()
	from, to := io.Pipe()
	r, err := http.NewRequestWithContext(w.Context(), "POST", "http://localhost"+api.Base+"/calls:batch"+query, from)
	require.NoError(w, err)
	res, err := w.client.Do(r)
	require.NoError(w, err)
	require.Equal(w, http.StatusOK, res.StatusCode)
	require.Equal(w, "application/x-ndjson", res.Header.Get("Content-Type"))
	w.Cleanup(func() { _, _ = to.Close(), res.Body.Close() })
	return &duplex{w, to, read(res.Body)}
}

func (d *duplex) write(text string) {
	d.Helper()
	_, err := io.WriteString(d.send, text)
	require.NoError(d, err)
}

func (d *duplex) next() (line batchLine, ok bool) {
	d.Helper()
	text, ok := <-d.lines
	if !ok {
		return line, false
	}
	checkJSON(d.T, object{"$ref": "#/components/schemas/BatchAnswer"}, text)
	require.NoError(d, json.Unmarshal([]byte(text), &line))
	return line, true
}

func (d *duplex) must() batchLine {
	d.Helper()
	line, ok := d.next()
	require.True(d, ok, "the batch has ended")
	return line
}

func TestABatchIsAnsweredLineByLineWhileItIsSent(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		d := w.batch("?wait=10s")
		for n := 1; n <= 3; n++ {
			d.write(fmt.Sprintf(`{"func":"echo","args":%d}`+"\n", n))
			line := d.must()
			require.Equal(w, n, line.Line)
			require.Equal(w, http.StatusOK, line.Status)
			require.EqualValues(w, n, line.Response.Value)
		}
		require.NoError(w, d.send.Close())
		_, more := d.next()
		require.False(w, more)
	})
}

func TestAThousandLinesAreAThousandAnswers(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		d := w.batch("")
		go func() {
			for n := range 1000 {
				_, _ = fmt.Fprintf(d.send, `{"func":"absent","args":%d}`+"\n", n)
			}
			_ = d.send.Close()
		}()
		lines, refs := map[int]bool{}, map[string]bool{}
		for {
			line, more := d.next()
			if !more {
				break
			}
			require.Equal(w, http.StatusAccepted, line.Status)
			lines[line.Line], refs[line.Response.Ref] = true, true
		}
		require.Len(w, lines, 1000)
		require.Len(w, refs, 1000)
	})
}

func TestABadLineIsAnsweredAndKeepsNoOtherFromBeingMade(t *testing.T) {
	inWorld(t, setup{maxArgs: 10}, func(w *world) {
		long := `{"func":"absent","args":"` + strings.Repeat("x", 64<<10+10) + `"}`
		body := "{\n\n" + `{"func":"ecko"}` + "\r\n" + long + "\n" + `{"func":"absent","args":[1,2,3,4,5,6]}` + "\n" + `{"func":"absent"}`
		a := w.ask("POST", "/calls:batch?format=minimal", body)
		found := map[int]string{}
		for text := range strings.Lines(a.body) {
			var line batchLine
			require.NoError(w, json.Unmarshal([]byte(text), &line))
			found[line.Line] = fmt.Sprint(line.Status, " ", line.Problem.Type, line.Response.Status)
		}
		require.Equal(w, map[int]string{
			1: "400 urn:refq:problem:bad-request",
			3: "422 urn:refq:problem:unknown-function",
			4: "413 urn:refq:problem:args-too-large",
			5: "413 urn:refq:problem:args-too-large",
			6: "202 pending",
		}, found)
	})
}

func TestASlowCallOfABatchKeepsNoAnswerBack(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		w.work()
		d := w.batch("")
		d.write(`{"func":"hold","wait":"3m"}` + "\n" + `{"func":"echo","wait":"1s"}` + "\n")
		require.Equal(w, 2, d.must().Line)
		require.NoError(w, d.send.Close())
		time.Sleep(2 * time.Minute)
		w.held <- struct{}{}
		require.Equal(w, http.StatusOK, d.must().Status, "beyond all limits of the server's")
	})
}

func TestABatchThatSendsNothingMoreIsEndedWithAWord(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		d := w.batch("")
		d.write(`{"func":"absent"}` + "\n" + `{"func":`)
		require.Equal(w, http.StatusAccepted, d.must().Status)
		start := time.Now()
		line := d.must()
		require.Equal(w, time.Minute, time.Since(start))
		require.Equal(w, 2, line.Line)
		require.Equal(w, http.StatusServiceUnavailable, line.Status)
		require.Contains(w, line.Problem.Detail, "this line and what follows were not read")
		_, more := d.next()
		require.False(w, more)
	})
}

func TestAServerThatStopsEndsBatchesWithAWord(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		d := w.batch("?wait=5m")
		d.write(`{"func":"absent"}` + "\n")
		synctest.Wait()
		start := time.Now()
		stopped := make(chan error, 1)
		go func() { stopped <- w.stop() }()
		line := d.must()
		require.Equal(w, []int{1, http.StatusAccepted}, []int{line.Line, line.Status}, "what was made is answered")
		line = d.must()
		require.Equal(w, []int{2, http.StatusServiceUnavailable}, []int{line.Line, line.Status})
		require.Contains(w, line.Problem.Detail, "the server is stopping")
		_ = d.send.Close()
		require.NoError(w, <-stopped)
		require.Less(w, time.Since(start), time.Second)
	})
}
