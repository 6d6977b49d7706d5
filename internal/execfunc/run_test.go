//go:build unix

package execfunc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// What a worker handles as refcache.Func[json.RawMessage, json.RawMessage].
var _ func(context.Context, json.RawMessage) (json.RawMessage, error) = Command{}.Run

func TestArgumentsArriveOnStdinAndTheResultIsStoredAsWritten(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	for _, in := range []string{`{"b":1, "a":[1.0,2e5]}`, `{"a":1,"a":2}`, `"é\ud800"`, `0.10`, `null`} {
		out, err := Command{Argv: []string{"cat"}}.Run(t.Context(), json.RawMessage(in))
		require.NoError(t, err)
		require.Equal(t, in, string(out))
	}
}

func TestOuterWhiteSpaceIsNoPartOfTheResult(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	out, err := sh(`printf ' \t\r\n{"a": 1}\n\n'`).Run(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, `{"a": 1}`, string(out))
}

func TestNoOutputIsNull(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	for _, script := range []string{`true`, `echo; echo`} {
		out, err := sh(script).Run(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, `null`, string(out))
	}
}

func TestOutputThatIsNotOneJSONValueFailsPermanentlyAndIsShown(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	for script, begin := range map[string]string{
		`echo hello world`:           `"hello world"`,
		`echo '{"a":1} {"b":2}'`:     `"{\"a\":1} {\"b\":2}"`,
		`echo '[1,2'`:                `"[1,2"`,
		`printf '"caf\303"'`:         `"\"caf\xc3\""`,
		`printf '\357\273\2771'`:     `"\ufeff1"`,
		`printf '\033[1m%0200d\n' 7`: `"\x1b[1m00000000000000000000000000000000000000000000000000000000"…`,
	} {
		out, err := sh(script).Run(t.Context(), nil)
		require.Nil(t, out)
		require.False(t, isPermanent(err), "%s: the program has not said so", script)
		require.ErrorContains(t, err, "stdout is not one JSON value in UTF-8: ")
		require.True(t, strings.HasSuffix(err.Error(), "it begins "+begin), err)
	}
}

// Readers have limits, too: what none of them could read is not stored.
func TestOutputNestedDeeperThanAnyReaderTakesFails(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	const nested = `head -c %[1]d /dev/zero | tr '\0' '['; head -c %[1]d /dev/zero | tr '\0' ']'`
	out, err := sh(fmt.Sprintf(nested, 10_000)).Run(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, json.Valid(out))
	_, err = sh(fmt.Sprintf(nested, 10_001)).Run(t.Context(), nil)
	require.ErrorContains(t, err, "stdout is not one JSON value in UTF-8: exceeded max depth")
}

// The whole of an endless flood would not fit anywhere: what is kept of it stays within the limits.
func TestOfAnEndlessFloodNoMoreThanTheLimitsIsKept(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	c := sh(`yes "refq-progress: 1/2 busy" >&2 & yes stderr >&2 & yes`)
	c.MaxResult = 1 << 20
	out, err := c.Run(t.Context(), nil)
	require.Nil(t, out)
	require.ErrorContains(t, err, "stdout is longer than max_result, 1048576 bytes")
	require.Less(t, len(err.Error()), 5<<10, "no more than the end of stderr follows")
	require.True(t, isPermanent(err))

	kept := &stdout{limit: 1000, tooLong: func() {}}
	for range 100 {
		_, _ = kept.Write(make([]byte, 1<<20))
	}
	require.LessOrEqual(t, kept.buf.Cap(), 2000)
}

func TestWhatStderrSaysFollowsWhatIsWrongWithStdout(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	_, err := sh(`echo licence server refused >&2; echo Service unavailable`).Run(t.Context(), nil)
	require.ErrorContains(t, err, `it begins "Service unavailable"`+"\nlicence server refused")
	c := sh(`echo far too much >&2; echo '"0123456789"'`)
	c.MaxResult = 5
	_, err = c.Run(t.Context(), nil)
	require.EqualError(t, err, "stdout is longer than max_result, 5 bytes\nfar too much")
}

func TestACommandNeedNotReadItsArguments(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	in := json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`) // more than a pipe holds
	for _, script := range []string{`echo 1`, `exec 0<&-; echo 1`, `head -c 10 >&2; echo 1`} {
		out, err := sh(script).Run(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, `1`, string(out))
	}
}

func TestAnotherExitCodeIsAFailureWithCodeAndStderr(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	_, err := sh(`echo '{"ok":true}'; echo first >&2; echo 'second' >&2; exit 3`).Run(t.Context(), nil)
	require.EqualError(t, err, "exit status 3: first\nsecond")
	require.False(t, isPermanent(err))

	_, err = sh(`exit 4`).Run(t.Context(), nil)
	require.EqualError(t, err, "exit status 4")
	require.False(t, isPermanent(err))
}

func TestTheLastLineOfStderrMayBeAnErrorForPrograms(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	for line, want := range map[string][2]string{
		`refq-error: {"code":"quota","message":"too much","details":{"left":0}}`: {"quota", "too much"},
		`refq-error:{"code":"quota"}`:                                            {"quota", "quota"},
		`refq-error: {"message":"only this"}`:                                    {"", "only this"},
		`refq-error: {"code":`:                                                   {"", `exit status 3: first` + "\n" + `refq-error: {"code":`},
	} {
		c := sh(`echo first >&2; printf '%s\n' "$LINE" >&2; exit 3`)
		c.Env = map[string]string{"LINE": line}
		_, err := c.Run(t.Context(), nil)
		require.EqualError(t, err, want[1])
		require.Equal(t, want[0], refcache.CodeOf(err))
		require.False(t, isPermanent(err))
	}
	_, err := sh(`echo 'refq-error: {"code":"bad_input","message":"no page 7"}' >&2; exit 65`).Run(t.Context(), nil)
	require.True(t, isPermanent(err))
	require.Equal(t, "bad_input", refcache.CodeOf(err))
	_, err = sh(`echo 'refq-error: {"message":"gone","permanent":true,"retry_after_ms":5}' >&2; exit 1`).Run(t.Context(), nil)
	require.True(t, isPermanent(err))
	require.EqualError(t, err, "gone")
	for ms, after := range map[string]time.Duration{"0": 0, "5000": 5 * time.Second, "1000000000000": 24 * time.Hour} {
		_, err = sh(`echo 'refq-error: {"message":"later","retry_after_ms":`+ms+`}' >&2; exit 1`).Run(t.Context(), nil)
		require.Equal(t, worker.RetryAfter(errors.Unwrap(err), after), err)
	}
	_, err = sh(`echo 'refq-error: {"code":"x"}' >&2; echo last >&2; exit 1`).Run(t.Context(), nil)
	require.Empty(t, refcache.CodeOf(err), "it is not the last line")
}

func TestALineOfStderrTellsThatWhatIsNeededIsUnavailable(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	run := func(script string) error {
		_, err := sh(script).Run(t.Context(), nil)
		return err
	}
	for said, want := range map[string]time.Duration{
		"refq-unavailable: 20s": 20 * time.Second, "refq-unavailable:1.5": 1500 * time.Millisecond,
		"refq-unavailable: 1h\nrefq-unavailable: 7\r": 7 * time.Second, "refq-unavailable: 0": 100 * time.Millisecond,
	} {
		err := run(`printf 'busy\n` + said + `\nlast\n' >&2; exit 75`)
		require.EqualError(t, err, "exit status 75: busy\nlast")
		require.Equal(t, worker.Unavailable(errors.Unwrap(err), want), err)
	}
	err := run(`echo refq-unavailable: 20s >&2; echo 'refq-error: {"code":"busy"}' >&2; exit 1`)
	require.Equal(t, "busy", refcache.CodeOf(err))
	require.True(t, isUnavailable(err))

	for said, want := range map[string]string{
		"refq-unavailable: soon": `exit status 1: busy (refq-unavailable: is "soon", must be a duration like 20s, 1m or a number of seconds)`,
		"refq-unavailable: -1s":  `exit status 1: busy (refq-unavailable: is "-1s", must be a duration like 20s, 1m or a number of seconds)`,
		"refq-unavailable:":      `exit status 1: busy (refq-unavailable: is "", must be a duration like 20s, 1m or a number of seconds)`,
	} {
		err := run(`echo busy >&2; echo "` + said + `" >&2; exit 1`)
		require.EqualError(t, err, want)
		require.False(t, isUnavailable(err))
	}
	require.True(t, isPermanent(run(`echo refq-unavailable: 20s >&2; exit 65`)))
	require.NoError(t, run(`echo refq-unavailable: 20s >&2; echo 1`), "it was there all the same")
	require.False(t, isUnavailable(run(`echo x refq-unavailable: 20s >&2; exit 1`)), "no line begins so")
}

func TestExitCode65IsPermanentUnlessOthersAreNamed(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	for _, test := range []struct {
		codes     []int
		exit      int
		permanent bool
	}{
		{nil, 65, true}, {nil, 64, false},
		{[]int{3, 4}, 4, true}, {[]int{3, 4}, 65, false},
		{[]int{}, 65, false},
	} {
		c := sh(fmt.Sprintf(`echo bad data >&2; exit %d`, test.exit))
		c.PermanentExitCodes = test.codes
		_, err := c.Run(t.Context(), nil)
		require.EqualError(t, err, fmt.Sprintf("exit status %d: bad data", test.exit))
		require.Equal(t, test.permanent, isPermanent(err), test)
	}
}

func TestDeathByASignalNamesTheSignal(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	_, err := sh(`kill -KILL $$`).Run(t.Context(), nil)
	require.EqualError(t, err, "killed by SIGKILL")
	require.False(t, isPermanent(err))

	_, err = sh(`echo oops >&2; kill -TERM $$`).Run(t.Context(), nil)
	require.EqualError(t, err, "killed by SIGTERM: oops")
}

func TestErrorsShowTheEndOfStderrInWholeCharacters(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	_, err := sh(`printf 'half a caf\303' >&2; exit 1`).Run(t.Context(), nil)
	require.EqualError(t, err, "exit status 1: half a caf\uFFFD")

	_, err = sh(`i=0; while [ $i -lt 3000 ]; do printf é >&2; i=$((i+1)); done; echo X >&2; exit 1`).Run(t.Context(), nil)
	require.EqualError(t, err, "exit status 1: "+strings.Repeat("é", 2047)+"X")
}

func TestArgumentsReachNoShell(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	args := []string{"$HOME", "*", "`id`; exit 1", "", "two words", `"`}
	out, err := helper("args", args...).Run(t.Context(), nil)
	require.NoError(t, err)
	var got []string
	require.NoError(t, json.Unmarshal(out, &got))
	require.Equal(t, args, got)
}

func TestFloodsOnBothOutputsBlockNobody(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	c := sh(`head -c 8000000 /dev/zero | tr '\0' e >&2 & head -c 4000000 /dev/zero | tr '\0' 1; wait; echo end >&2; exit $CODE`)
	c.Env = map[string]string{"CODE": "0"}
	out, err := c.Run(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("1", 4000000), string(out))

	c.Env["CODE"] = "1"
	_, err = c.Run(t.Context(), nil)
	require.EqualError(t, err, "exit status 1: "+strings.Repeat("e", keep-len("end"))+"end")
}

func TestTooLongAResultIsKilledAndPermanent(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	for _, script := range []string{`yes & yes`, `head -c 2000 /dev/zero; sleep 1000`, `echo oops >&2; head -c 2000 /dev/zero; exit 1`} {
		l := newLifeline(t)
		c := hold(l.path, `trap '' TERM; `+script)
		c.MaxResult = 1000
		out, err := c.Run(t.Context(), nil)
		require.Nil(t, out)
		require.ErrorContains(t, err, "stdout is longer than max_result, 1000 bytes")
		require.True(t, isPermanent(err))
		await(t, "all of the group is dead", l.ended)
	}
}

func TestTheLimitOfAResultIsExact(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	c := Command{Argv: []string{"cat"}, MaxResult: 1000}
	_, err := c.Run(t.Context(), bytes.Repeat([]byte("1"), 1000))
	require.NoError(t, err)
	_, err = c.Run(t.Context(), bytes.Repeat([]byte("1"), 1001)) // also when the command is gone before it can be killed
	require.True(t, isPermanent(err))
	require.ErrorContains(t, err, "max_result")
}

func TestProgressIsReportedWhileTheCommandRuns(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	var got []refcache.Progress
	seen := filepath.Join(t.TempDir(), "seen")
	a := attemptOf(time.Minute)
	a.progress = func(p refcache.Progress) {
		got = append(got, p)
		require.NoError(t, os.WriteFile(seen, nil, 0o600))
	}
	c := sh(`echo 'refq-progress: 1/2 indexing' >&2
		until [ -e "$SEEN" ]; do sleep 0.01; done
		echo 'no refq-progress: 9/9' >&2; echo 'refq-progress: soon' >&2; printf 'refq-progress: 2/2' >&2; exit 1`)
	c.Env = map[string]string{"SEEN": seen}
	_, err := c.run(t.Context(), nil, a)
	require.EqualError(t, err, "exit status 1: no refq-progress: 9/9\nrefq-progress: soon")
	require.Equal(t, []refcache.Progress{{Current: 1, Total: 2, Message: "indexing"}, {Current: 2, Total: 2}}, got)
}

func TestCommandsRunSideBySide(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			in := fmt.Sprintf(`{"i":%d}`, i)
			out, err := Command{Argv: []string{"cat"}}.Run(t.Context(), json.RawMessage(in))
			if err != nil || string(out) != in {
				t.Errorf("%s: %s, %v", in, out, err)
			}
		})
	}
	all.Wait()
}

func TestAProgramThatCannotBeStartedIsNamed(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	program := filepath.Join(t.TempDir(), "garbage")
	require.NoError(t, os.WriteFile(program, []byte("\x00garbage"), 0o700))
	_, err := Command{Argv: []string{program}}.Run(t.Context(), nil)
	require.ErrorContains(t, err, program)
	require.False(t, isPermanent(err), "another worker may have a better one")

	_, err = Command{Argv: []string{"no-such-program"}}.Run(t.Context(), nil)
	require.ErrorContains(t, err, `program "no-such-program" is not in PATH`)
	require.False(t, isPermanent(err))
}

func TestBinaryOutputStaysReadable(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	_, err := sh(`head -c 20000 /dev/urandom >&2; exit 1`).Run(t.Context(), nil)
	require.ErrorContains(t, err, "exit status 1: ")
	require.True(t, utf8.ValidString(err.Error()))
	require.LessOrEqual(t, len(err.Error()), keep+len("exit status 1: "))
}

func TestACommandThatCannotBeStartedIsNotReady(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	path := filepath.Join(t.TempDir(), "broken")
	require.NoError(t, os.WriteFile(path, []byte("\x7fELF\x00"), 0o700))
	_, err := Command{Argv: []string{path}}.Run(t.Context(), nil)
	require.True(t, wraps(err, worker.NotReady(io.EOF, 0)))
	require.ErrorContains(t, err, "exec format error")
}
