package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

// waitForWeb waits until somebody listens where the script's web should be.
func waitForWeb(ts *testscript.TestScript, _ bool, _ []string) {
	for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", ts.Getenv("WEB"))
		if err == nil {
			ts.Check(conn.Close())
			return
		}
		if time.Now().After(until) {
			ts.Fatalf("nobody listens on %s: %v", ts.Getenv("WEB"), err)
		}
	}
}

// ask prints what the script's web answers: http METHOD PATH [BODY [SECRET]].
func ask(ts *testscript.TestScript, _ bool, args []string) {
	args = append(args, "", "")
	r, err := http.NewRequest(args[0], "http://"+ts.Getenv("WEB")+args[1], strings.NewReader(args[2]))
	ts.Check(err)
	if secret := args[3]; secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	res, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer res.Body.Close()
	_, err = io.Copy(ts.Stdout(), res.Body)
	ts.Check(err)
}

// TestHTTPDocumentExamples runs what docs/http-api.md tells people to write.
func TestHTTPDocumentExamples(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/http-api.md")
	require.NoError(t, err)
	for language, example := range map[string]struct{ program, want string }{
		"sh":     {"curl", `(?s)"words":6.*"words":2.*{"lines":1,"words":2,"bytes":7}.*"calls":\[.*event: end.*"line":`},
		"python": {"python3", `{'lines': 1, 'words': 6, 'bytes': 18}`},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(example.program); err != nil {
				t.Skip("there is no " + example.program + " here to run the example with")
			}
			block := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(document)
			require.NotNil(t, block)
			program := map[string]string{"sh": "sh", "python": "python3"}[language]
			script := "exec refq init\nexec refq dev &dev&\nup\nexec " + program + " -eu example\nstdout " + quote(example.want) + "\nkill -INT dev\nwait dev\n"
			if language == "python" {
				script = strings.Replace(script, "-eu ", "", 1)
			}
			file := filepath.Join(t.TempDir(), "example.txtar")
			require.NoError(t, os.WriteFile(file, []byte(script), 0o600))
			testscript.Run(t, testscript.Params{Files: []string{file}, RequireExplicitExec: true,
				Setup: func(env *testscript.Env) error {
					if err := setUpScript(env); err != nil {
						return err
					}
					env.Setenv("STEP_SECONDS", "0")
					text := strings.ReplaceAll(string(block[1]), "127.0.0.1:8383", env.Getenv("WEB"))
					return os.WriteFile(filepath.Join(env.WorkDir, "example"), []byte(text), 0o600)
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){"up": waitForWeb},
			})
		})
	}
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func TestThePythonExampleFitsAScreen(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/http-api.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(document), "```python\n")
	require.True(t, found)
	example, _, _ := strings.Cut(after, "```")
	require.LessOrEqual(t, len(regexp.MustCompile("\n+").Split(strings.TrimSpace(example), -1)), 31)
}

func TestDevGoesOnWithoutWebWhereTheDefaultPortIsTaken(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", "127.0.0.1:8383"); err == nil { // else somebody else has it
		t.Cleanup(func() { _ = l.Close() })
	}
	file := filepath.Join(t.TempDir(), "taken.txtar")
	require.NoError(t, os.WriteFile(file, []byte(`
env REFQ_WEB_LISTEN=
exec refq dev -o json &dev&
exits 0 refq call echo --wait 20s
kill -INT dev
wait dev
stdout '"web":null'
stderr 'no pages and no HTTP API here: .*8383.*\(the default\): name another address as web.listen in config.yaml or REFQ_WEB_LISTEN'
-- config.yaml --
functions: {echo: {exec: [cat]}}
`), 0o600))
	testscript.Run(t, testscript.Params{Files: []string{file}, RequireExplicitExec: true, Setup: setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits}})
}
