package redact_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/redact"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

func rules(t testing.TB, texts ...string) *redact.Rules {
	t.Helper()
	r, err := redact.Parse(texts)
	require.NoError(t, err)
	return r
}

func TestPointersHideValuesAndLeaveAllElseToTheLetter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rule, text, want string }{
		{"/password", `{ "user": "ann", "password" : "x" }`, `{ "user": "ann", "password" : "***" }`},
		{"/password", `{"a":{"password":"x"},"n":1.50,"big":12345678901234567890}`, `{"a":{"password":"x"},"n":1.50,"big":12345678901234567890}`},
		{"/a/password", `{"a":{"password":{"deep":[1,2]}},"z":[]}`, `{"a":{"password":"***"},"z":[]}`},
		{"/**/password", `{"password":1,"a":[{"password":null},{"b":{"password":[true]}}]}`, `{"password":"***","a":[{"password":"***"},{"b":{"password":"***"}}]}`},
		{"/*/mail", `[{"mail":"a@b"},{"mail":"c@d","x":{"mail":"e@f"}}]`, `[{"mail":"***"},{"mail":"***","x":{"mail":"e@f"}}]`},
		{"/1", `["a", ["b","c"] ,"d"]`, `["a", "***" ,"d"]`},
		{"/1/0", `[[1,2],[3,4],[5]]`, `[[1,2],["***",4],[5]]`},
		{"/list/2", `{"list":[[],{},"x",0]}`, `{"list":[[],{},"***",0]}`},
		{"/a~1b/m~0n", `{"a/b":{"m~n":1,"m":2}}`, `{"a/b":{"m~n":"***","m":2}}`},
		{"/", `{"":1,"a":2}`, `{"":"***","a":2}`},
		{"/**", `{"a":1}`, `"***"`},
		{"/a", `"a"`, `"a"`},
		{"/a", `{"a":1,"a":2}`, `{"a":"***","a":"***"}`},
		{"/a", `{"b":`, `"***"`},
	} {
		require.Equal(t, c.want, string(rules(t, c.rule).JSON(json.RawMessage(c.text))), "%s in %s", c.rule, c.text)
	}
}

func TestPatternsHideWhatMatchesInStringsAndNumbers(t *testing.T) {
	t.Parallel()
	r := rules(t, `sk-[a-z0-9]+`, `\b4[0-9]{15}\b`)
	require.Equal(t, `{"sk-abc":"key ***, \"quoted\"","card":"***","n":41,"t":true,"e":"\u00e9\ud800"}`,
		string(r.JSON(json.RawMessage(`{"sk-abc":"key sk-1f, \"quoted\"","card":4111111111111111,"n":41,"t":true,"e":"\u00e9\ud800"}`))))
	require.Equal(t, "401 for ***; again for ***", r.Text("401 for sk-99; again for sk-1"))
	require.Equal(t, `"***"`, string(r.JSON(json.RawMessage(`"\u0073k-1"`))), "escapes hide nothing from a pattern")
}

func TestNoRulesHideNothing(t *testing.T) {
	t.Parallel()
	r := rules(t)
	require.Equal(t, `{"a":`, string(r.JSON(json.RawMessage(`{"a":`))))
	require.Equal(t, "x", r.Text("x"))
	var res refcache.Response[json.RawMessage]
	require.Equal(t, res, r.Response(res))
}

func TestARuleThatMeansNothingIsRefusedByName(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{
		"/a~2":   `rule "/a~2": a ~ in a JSON Pointer is written ~0`,
		"/a~":    `rule "/a~": a ~ in a JSON Pointer is written ~0`,
		"(":      `rule "(" is no JSON Pointer, which begins with /, and as a pattern: error parsing regexp`,
		"":       `matches nothing at all, and so everywhere`,
		"[0-9]*": `matches nothing at all, and so everywhere`,
	} {
		_, err := redact.Parse([]string{"/fine", rule})
		require.ErrorContains(t, err, want)
	}
}

func TestAnswersAreHiddenInEveryTextAndTheOriginalStays(t *testing.T) {
	t.Parallel()
	r := rules(t, "hush", "/pin")
	at := time.Unix(1, 0)
	res := refcache.Response[json.RawMessage]{Value: json.RawMessage(`{"pin":1,"t":"hush"}`), HasValue: true,
		Message: "a hush", Error: "b hush", Progress: &refcache.Progress{Message: "c hush"}, StartedAt: &at}
	text, err := r.Response(res).JSON(refcache.Full)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hush")
	require.Contains(t, string(text), `{"pin":"***","t":"***"}`)

	info := refcache.TaskInfo{Note: "hush", Error: "hush", LastError: "hush", Unreadable: "hush",
		Progress: &refcache.Progress{Message: "hush"}, RetryHistory: []refcache.Attempt{{Error: "hush"}}, Events: []refcache.Event{{Note: "hush"}},
		Turn: &refcache.TurnInfo{Gate: "g", Key: "a/hush", Share: "hush"}}
	text, err = json.Marshal(r.TaskInfo(info))
	require.NoError(t, err)
	require.NotContains(t, string(text), "hush")
	require.Contains(t, string(text), `"gate":"g","key":"***","share":"***"`)
	require.Equal(t, "hush", info.Events[0].Note)
	require.Equal(t, "hush", info.RetryHistory[0].Error)
	require.Equal(t, "hush", info.Progress.Message)
	require.Equal(t, "c hush", res.Progress.Message)
}

func TestLogsAreHiddenInMessagesAttributesAndGroups(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(rules(t, "hush").Handler(slog.NewTextHandler(&out, nil))).With("base", "hush").WithGroup("g")
	log.Info("say hush", "err", errors.New("hush"), "n", 1, "list", []string{"hush"}, slog.Group("deep", "text", "hush"))
	require.NotContains(t, out.String(), "hush")
	require.Equal(t, 5, strings.Count(out.String(), redact.Mask))
	require.Contains(t, out.String(), "g.n=1")
}

func FuzzWhatNoRuleMeansStaysToTheLetter(f *testing.F) {
	for _, text := range []string{`{"a":[1,{"b":"c"}],"d":null}`, ` [ 1.0 , -0e1 ] `, `"\ud800"`, `{"a":1,"a":2}`, "[]", "0"} {
		f.Add(text)
	}
	r := rules(f, "/no such name/x", "no such text anywhere")
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return
		}
		require.Equal(t, text, string(r.JSON(json.RawMessage(text))))
	})
}

func TestWhyNobodyRunsTheCallsOfAKeyIsHidden(t *testing.T) {
	t.Parallel()
	k := rules(t, "sk-[0-9]+").GateKey(monitor.GateKey{Key: "sk-1", Message: "function f is paused: sk-2 is out", Paused: &refcache.Pause{Reason: "sk-3"}})
	require.Equal(t, monitor.GateKey{Key: "***", Message: "function f is paused: *** is out", Paused: &refcache.Pause{Reason: "***"}}, k)
}
