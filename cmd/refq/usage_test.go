package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// runHere runs refq in this process, without environment.
func runHere(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	none := func(string) (string, bool) { return "", false }
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errs, none)
	return code, out.String(), errs.String()
}

const someRef = "default:00000000000000000000000000000000"

func TestWrongUsageExits2WithOneSentence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"frob", `unknown verb "frob": use one of `},
		{"fnctions", `unknown verb "fnctions" (did you mean functions?)`},
		{"help frob", `unknown verb "frob"`},
		{"ls -o xml", `--output: "xml" is not text or json`},
		{"ls --limt 3", `ls has no flag --limt (did you mean --limit?)`},
		{"ls -x", `ls has no flag -x; write -- before arguments that begin with -`},
		{"ls --limit", `flag needs an argument: --limit`},
		{"ls --limit -1", `--limit: "-1" is not a whole number, 0 (all) or more`},
		{"ls --limit x", `--limit: "x" is not a whole number, 0 (all) or more`},
		{"ls --status falied", `--status: "falied" is not one of waiting, pending, processing, retrying, complete, failed, cancelled (did you mean failed?)`},
		{"ls --func a=b", `--func: name "a=b": use letters`},
		{"ls --queue a/b", `--queue: queue "a/b": use letters`},
		{"ls x", `ls takes no argument, not also "x"`},
		{"get", `get needs one REF or more; see refq get --help`},
		{"get xyz", `invalid ref_id: "xyz" is not of the form QUEUE:32-HEX-DIGITS`},
		{"get --format huge " + someRef, `--format: "huge" is not one of minimal, standard, full`},
		{"get " + someRef + " default:FF", `invalid ref_id: "default:FF"`},
		{"wait " + someRef + " " + someRef, `wait takes one REF, not also`},
		{"wait", `wait needs one REF`},
		{"wait --timeout soon " + someRef, `--timeout: "soon" is not a duration like 1.5s, 5m or 168h, or a number of seconds`},
		{"status", `status needs one REF`},
		{"result", `result needs one REF`},
		{"retry", `retry needs one REF or more, or --all`},
		{"retry --wait -1s " + someRef, `--wait: "-1s" is not a duration`},
		{"retry --all " + someRef, `retry takes no REF beside --all, not also`},
		{"retry --all", `retry --all asks first, and there is no terminal to ask on: add --yes, or --dry-run to count only`},
		{"retry --all --wait 1s", `--wait is for calls that are named, not for --all`},
		{"retry --func echo " + someRef, `--func needs --all`},
		{"retry --yes " + someRef, `--yes needs --all`},
		{"retry --all --yes --func a=b", `--func: name "a=b": use letters`},
		{"retry --all --yes --since x", `--since: "x" is not a duration like`},
		{"cancel default", `invalid ref_id`},
		{"delete ../../etc:passwd", `invalid ref_id`},
		{"pause", `pause needs a FUNC, --queue or --gate; see refq pause --help`},
		{"resume", `resume needs a FUNC, --queue or --gate; see refq resume --help`},
		{"pause a b", `pause takes one FUNC, not also "b"`},
		{"pause a --queue b", `pause takes a FUNC, --queue or --gate, not two of them`},
		{"pause a@x", `function "a@x": a version is a whole number of at least 1, as in a@2`},
		{"pause a=b", `name "a=b": use letters`},
		{"pause --queue a/b", `queue "a/b": use letters`},
		{"pause a --for soon", `--for: "soon" is not a duration`},
		{"pauses x", `pauses takes no argument`},
		{"version x", `version takes no argument`},
		{"bench x", `bench takes no argument`},
		{"bench --calls x", `--calls: "x" is not a whole number`},
		{"bench --calls 1,2", `--calls: "1,2" is not a whole number`},
		{"bench --calls 0", `--calls is 0, must be at least 1`},
		{"bench --callers 64,", `--callers: "" is not a whole number`},
		{"bench --callers 64,0", `--callers is 0, must be at least 1`},
		{"bench --payload 10", `--payload is 10, must be at least 64`},
		{"bench --delay x", `--delay: "x" is not a duration`},
		{"bench --baseline bullmq", `--baseline is "bullmq", must be asynq`},
		{"bench --only closd", `--only: "closd" is not one of idle, closed, open, many, hits, answers, local, retries, growth, idle-cost, two-queues, mixed, gates, waiters, capacity (did you mean closed?)`},
		{"bench --quick --rounds 2", `--quick has sizes of its own: leave out --rounds`},
		{"doctor x", `doctor takes no argument`},
		{"gates a b", `gates takes a GATE at most, not also "b"`},
		{"gates --cursor x", `--cursor is for the keys of a GATE: name it`},
		{"gates maps --limit -1", `--limit: "-1" is not a whole number, 0 (all) or more`},
		{"gates --queue a/b", `--queue: queue "a/b": use letters`},
		{"gates set", `set needs one GATE; see refq gates set --help`},
		{"gates set maps --each x", `--each: "x" is not a whole number`},
		{"gates set maps --all -1", `--all: -1 is not a whole number, 0 (no limit) or more, or slots`},
		{"gates set maps --rate 50", `--rate: 50 is not a rate like 20/s, 100/m or 5/10s, or 0 (no limit)`},
		{"gates set maps --for soon", `--for: "soon" is not a duration`},
		{"gates reset maps --queue a/b", `--queue: queue "a/b": use letters`},
		{"init x", `init takes no argument`},
		{"worker x", `worker takes no argument`},
		{"web x", `web takes no argument`},
		{"web --listen 8383", `--listen is 8383, must be an address such as 127.0.0.1:8383`},
		{"web --read-only=maybe", `--read-only is "maybe", must be true or false`},
		{"web --listen 0.0.0.0:0", `0.0.0.0:0 can be reached from other machines, and there are no credentials`},
		{"call", `call needs a FUNC and its arguments as one JSON text; see refq call --help`},
		{"call a b c", `call takes a FUNC and its arguments as one JSON text, not also "c"`},
		{"call a", `unknown function a: there is no config.yaml here to declare it (refq init writes one)`},
		{"call ecko --config testdata/echo.yaml", `unknown function ecko (did you mean echo?): testdata/echo.yaml declares echo`},
		{"call echo {n:1} --config testdata/echo.yaml", `arguments: invalid character 'n'`},
		{"call echo {\"a\":1,\"a\":2} --config testdata/echo.yaml", `arguments: duplicate key "a"`},
		{"call echo - --config testdata/echo.yaml", `arguments: empty, want one JSON value such as {}; write JSON, - for stdin or @FILE`},
		{"call echo @nofile --config testdata/echo.yaml", `read arguments: open nofile: no such file or directory`},
		{"call echo --config testdata/echo.yaml --ttl 0", `--ttl is 0s, must be at least 1s`},
		{"call echo --config testdata/echo.yaml --max-retries 10001", `--max-retries is 10001, must be at most 10000`},
		{"call echo --config testdata/echo.yaml --retry-delay x", `--retry-delay is "x", must be a duration`},
		{"call echo --config testdata/echo.yaml --retry-backoff-factor 0.5", `--retry-backoff-factor is 0.5, must be`},
		{"call echo --config testdata/echo.yaml --timeout x", `--timeout is "x", must be a duration`},
		{"call echo --config testdata/echo.yaml --namespace a=b", `--namespace is "a=b", must be a name`},
		{"ls --config nofile", `--config is "nofile", which does not exist`},
		{"ls --log-level loud", `--log-level is "loud", must be debug, info, warn or error`},
		{"ls --log-format xml", `--log-format is "xml", must be text or json`},
		{"ls --redis rediss://h?tls_ca=/nowhere", `--redis: redis URL rediss://h?tls_ca=/nowhere: tls_ca: open /nowhere: no such file or directory`},
		{"worker --redis redis://h?password_file=/nowhere", `--redis: redis URL redis://h?password_file=/nowhere: password_file: open /nowhere: no such file or directory`},
		{"ls --redis http://x", `--redis: redis URL ***://x: unknown scheme`},
	} {
		code, stdout, stderr := runHere(t, "", strings.Fields(c.args)...)
		require.Equal(t, exitUsage, code, "refq %s: %s", c.args, stderr)
		require.Empty(t, stdout, "refq %s", c.args)
		require.Equal(t, 1, strings.Count(stderr, "\n"), "refq %s: %s", c.args, stderr)
		require.Contains(t, stderr, "refq: "+c.want, "refq %s", c.args)
	}
}

func TestWithoutVerbTheHelpIsShownAsAnError(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := runHere(t, "")
	require.Equal(t, exitUsage, code)
	require.Empty(t, stdout)
	for _, verb := range []string{"demo", "init", "dev", "worker", "web", "call", "get", "wait", "status", "result", "retry", "cancel",
		"delete", "ls", "pause", "resume", "pauses", "doctor", "gates", "functions", "config", "bench", "version"} {
		require.Contains(t, stderr, "\n  "+verb+" ")
	}
}

func TestHelpFitsTheTerminal(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"", "demo", "init", "dev", "worker", "web", "call", "get", "wait", "status", "result", "retry", "cancel",
		"gates set", "gates reset", "delete", "ls", "pause", "resume", "pauses", "doctor", "gates", "functions", "config", "bench", "version"} {
		code, stdout, _ := runHere(t, "", append(strings.Fields(verb), "--help")...)
		require.Equal(t, exitDone, code)
		for line := range strings.Lines(stdout) {
			require.LessOrEqual(t, utf8.RuneCountInString(line), 100, "refq %s --help: %s", verb, line)
		}
		_, viaVerb, _ := runHere(t, "", append([]string{"help"}, strings.Fields(verb)...)...)
		require.Equal(t, stdout, viaVerb)
	}
}

var errFull = errors.New("no space left on device")

// brokenWriter is a disk that is full.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errFull }

func TestAnAnswerThatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	code := run(t.Context(), []string{"version"}, strings.NewReader(""), brokenWriter{}, &errs, func(string) (string, bool) { return "", false })
	require.Equal(t, exitOther, code)
	require.Contains(t, errs.String(), errFull.Error())
}
