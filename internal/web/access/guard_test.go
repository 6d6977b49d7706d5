package access_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/web/access"
)

const (
	annsSecret = "correct horse"
	botsSecret = "bbbbbbbbbbbbbbbb"
)

func credentials(t *testing.T) []access.Credential {
	t.Helper()
	all, err := access.ParseCredentials("# people\nviewer:ann:" + strings.ReplaceAll(annsSecret, " ", "-") + "\n\noperator:bot:" + botsSecret + "\n")
	require.NoError(t, err)
	return all
}

// ask sends a request through a guard to a handler that answers with who it was.
func ask(t *testing.T, c access.Config, method, host string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	r := httptest.NewRequest(method, "http://"+host+"/some/path", nil)
	r.RemoteAddr = "192.0.2.7:5555"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	access.New(c).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := access.Who(r.Context())
		io.WriteString(w, string(who.Role)+" "+who.By())
	})).ServeHTTP(w, r)
	return w
}

func basic(name, secret string) string {
	r := httptest.NewRequest("GET", "/", nil)
	r.SetBasicAuth(name, secret)
	return r.Header.Get("Authorization")
}

func TestOnlyKnownHostsAreAnswered(t *testing.T) {
	t.Parallel()
	c := access.Config{Hosts: []string{"Refq.example.com", "10.0.0.7", "fd00::1"}}
	for _, host := range []string{"localhost:8383", "127.0.0.1", "[::1]:8383", "[::1]", "LOCALHOST", "localhost.", "refq.EXAMPLE.com:1", "10.0.0.7:8383", "[fd00::1]:80"} {
		require.Equal(t, http.StatusOK, ask(t, c, "GET", host).Code, host)
	}
	for _, host := range []string{"evil.example", "evil.example:8383", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.8", "refq.example.com.evil"} {
		w := ask(t, c, "GET", host)
		require.Equal(t, http.StatusMisdirectedRequest, w.Code, host)
		require.Contains(t, w.Body.String(), "urn:refq:problem:misdirected")
	}
}

func TestWithoutCredentialsAnybodyIsAnOperator(t *testing.T) {
	t.Parallel()
	require.Equal(t, "operator anybody@192.0.2.7", ask(t, access.Config{}, "POST", "localhost").Body.String())
}

func TestPeopleAndMachinesShowCredentials(t *testing.T) {
	t.Parallel()
	c := access.Config{Credentials: credentials(t)}
	ann := strings.ReplaceAll(annsSecret, " ", "-")
	for header, want := range map[string]string{
		basic("ann", ann):          "viewer ann@192.0.2.7",
		basic("bot", botsSecret):   "operator bot@192.0.2.7",
		"Bearer " + botsSecret:     "operator bot@192.0.2.7",
		"bearer " + ann:            "viewer ann@192.0.2.7",
		basic("bot", ann):          "",
		basic("", botsSecret):      "",
		basic("ann", ""):           "",
		"Bearer ":                  "",
		"Bearer x":                 "",
		"Digest " + botsSecret:     "",
		botsSecret:                 "",
		"Bearer " + botsSecret[1:]: "",
	} {
		w := ask(t, c, "GET", "localhost", "Authorization", header)
		if want != "" {
			require.Equal(t, want, w.Body.String(), header)
			continue
		}
		require.Equal(t, http.StatusUnauthorized, w.Code, header)
		require.Equal(t, []string{`Basic realm="refq", charset="UTF-8"`, `Bearer realm="refq"`}, w.Header()["Www-Authenticate"])
	}
	require.Equal(t, http.StatusUnauthorized, ask(t, c, "GET", "localhost").Code)
	require.Equal(t, http.StatusMisdirectedRequest, ask(t, c, "GET", "evil.example").Code, "the host comes first")
}

func TestViewersAndReadOnlyServersChangeNothing(t *testing.T) {
	t.Parallel()
	viewer := []string{"Authorization", "Bearer " + strings.ReplaceAll(annsSecret, " ", "-")}
	operator := []string{"Authorization", "Bearer " + botsSecret}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} {
		w := ask(t, access.Config{Credentials: credentials(t)}, method, "localhost", viewer...)
		require.Equal(t, http.StatusForbidden, w.Code)
		require.Contains(t, w.Body.String(), "urn:refq:problem:forbidden", method)
		require.Equal(t, http.StatusOK, ask(t, access.Config{Credentials: credentials(t)}, method, "localhost", operator...).Code)

		w = ask(t, access.Config{Credentials: credentials(t), ReadOnly: true}, method, "localhost", operator...)
		require.Equal(t, http.StatusForbidden, w.Code)
		require.Contains(t, w.Body.String(), "urn:refq:problem:read-only", method)
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
		require.Equal(t, http.StatusOK, ask(t, access.Config{Credentials: credentials(t), ReadOnly: true}, method, "localhost", viewer...).Code)
	}
}

func TestPagesOfOthersChangeNothing(t *testing.T) {
	t.Parallel()
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://evil.example"}, {"Origin", "null"},
	} {
		w := ask(t, access.Config{}, "POST", "localhost:8383", header...)
		require.Equal(t, http.StatusForbidden, w.Code, header)
		require.Contains(t, w.Body.String(), "urn:refq:problem:cross-origin")
		require.Equal(t, http.StatusOK, ask(t, access.Config{}, "GET", "localhost:8383", header...).Code)
	}
	require.Equal(t, http.StatusOK, ask(t, access.Config{}, "POST", "localhost:8383", "Sec-Fetch-Site", "same-origin").Code)
	require.Equal(t, http.StatusOK, ask(t, access.Config{}, "POST", "localhost:8383", "Origin", "http://localhost:8383").Code)
	w := ask(t, access.Config{Credentials: credentials(t)}, "POST", "localhost", "Origin", "http://evil.example")
	require.Equal(t, http.StatusUnauthorized, w.Code, "credentials come first")
}

func TestEveryAnswerKeepsBrowsersInBounds(t *testing.T) {
	t.Parallel()
	for _, w := range []*httptest.ResponseRecorder{ask(t, access.Config{}, "GET", "localhost"), ask(t, access.Config{}, "GET", "evil.example")} {
		csp := w.Header().Get("Content-Security-Policy")
		require.Contains(t, csp, "default-src 'none'")
		require.Contains(t, csp, "frame-ancestors 'none'")
		require.NotContains(t, csp, "unsafe")
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		require.Equal(t, "same-origin", w.Header().Get("Referrer-Policy"))
	}
}

func TestRefusalsAreProblemsForProgramsAndSentencesForBrowsers(t *testing.T) {
	t.Parallel()
	w := ask(t, access.Config{}, "GET", "evil.example", "Accept", "application/json")
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	var p access.Problem
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	require.Equal(t, http.StatusMisdirectedRequest, p.Status)
	w = ask(t, access.Config{}, "GET", "evil.example", "Accept", "text/html,*/*")
	require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
	require.True(t, strings.HasPrefix(w.Body.String(), "Unknown host: "))
}

func TestTheLogHearsOfRefusalsWithoutSecrets(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := access.Config{Credentials: credentials(t), Logger: slog.New(slog.NewTextHandler(&out, nil))}
	ask(t, c, "GET", "localhost", "Authorization", "Bearer wrong-wrong-wrong")
	require.Contains(t, out.String(), "urn:refq:problem:unauthorized")
	require.Contains(t, out.String(), "remote=192.0.2.7")
	require.NotContains(t, out.String(), "wrong")
}

func TestCredentialsThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                           "no credentials: write lines of",
		"# none\n":                   "no credentials: write lines of",
		"\nann:longlonglonglong":     "line 2: not of the form",
		"admin:ann:longlonglonglong": "line 1: not of the form",
		"viewer::longlonglonglong":   "line 1: not of the form",
		"viewer:ann:short-hush":      "line 1: the secret of ann has 10 characters, must have at least 12",
		"viewer:a:hushhushhush operator:b:hushhushhush": "line 1: b has the secret of another",
	} {
		_, err := access.ParseCredentials(text)
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "hush")
	}
	all, err := access.ParseCredentials("viewer:a:with:colons:in:it operator:b:bbbbbbbbbbbb")
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, http.StatusOK, ask(t, access.Config{Credentials: all}, "GET", "localhost", "Authorization", "Bearer with:colons:in:it").Code)
}

func TestOtherMachinesNeedCredentials(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"127.0.0.1:8383", "127.8.8.8:1", "[::1]:8383", "localhost:8383"} {
		require.NoError(t, access.CheckListen(addr, nil), addr)
	}
	for _, addr := range []string{":8383", "0.0.0.0:8383", "[::]:8383", "10.0.0.7:8383", "refq.example.com:8383", "localhost.evil:1"} {
		require.ErrorContains(t, access.CheckListen(addr, nil), "--insecure-no-auth", addr)
		require.NoError(t, access.CheckListen(addr, credentials(t)), addr)
	}
}

func TestAChangeIsOneLineThatNamesWhoDidIt(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	r := httptest.NewRequest("POST", "http://localhost/", nil)
	r.RemoteAddr = "192.0.2.7:5555"
	r.Header.Set("Authorization", "Bearer "+botsSecret)
	access.New(access.Config{Credentials: credentials(t)}).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		access.Audit(r.Context(), log, access.Change{What: "retry", Ref: "q:1", From: "failed", To: "pending"})
		access.Audit(r.Context(), log, access.Change{What: "cancel", Ref: "q:2", From: "complete", Err: errors.New("too late")})
	})).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, `level=INFO msg=change who=bot role=operator remote=192.0.2.7 what=retry ref_id=q:1 from=failed to=pending
level=INFO msg=change who=bot role=operator remote=192.0.2.7 what=cancel ref_id=q:2 from=complete to="" err="too late"
`, out.String())
}

func TestLimitsEndLongBodiesAndLongWork(t *testing.T) {
	t.Parallel()
	var err error
	var deadline time.Time
	h := access.Limit(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		deadline, _ = r.Context().Deadline()
		_, err = io.ReadAll(r.Body)
	}), 4, time.Minute)
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader("four")))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Minute), deadline, 10*time.Second)
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader("fives")))
	var tooLong *http.MaxBytesError
	require.ErrorAs(t, err, &tooLong)
}
