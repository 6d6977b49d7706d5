package config_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/testkit"
	"github.com/refq/refq/refcache"
)

func TestTheShippedFileEqualsTheDefaults(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../config.yaml")
	require.NoError(t, err)
	shipped, nothing := mustLoad(t, string(text), nil, nil), mustLoad(t, "", nil, nil)
	for i, s := range shipped.Settings() {
		require.Equal(t, nothing.Settings()[i].Value, s.Value, s.Key)
		require.Contains(t, s.Source, "config.yaml:", "%s is written out", s.Key)
	}

	// The keys of defaults: show in a function that says nothing itself.
	probe := bytes.Replace(text, []byte("functions: {}"), []byte("functions: {probe: }"), 1)
	f, err := mustLoad(t, string(probe), nil, nil).Function("probe")
	require.NoError(t, err)
	want := refcache.Defaults
	want.Name = "probe"
	require.Empty(t, cmp.Diff(want, policy(t, f.Func)))
}

func TestTheShippedFileShowsEveryKey(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../config.yaml")
	require.NoError(t, err)
	for _, key := range strings.Fields(`redis url password_file tls_ca tls_cert tls_key tls_server_name skip_verify read_timeout write_timeout dial_timeout
		pool_size conn_max_lifetime client_name protocol pipeline namespace redact web listen hosts credentials_file read_only queues_write max_requests concurrency shutdown_timeout max_args max_result log_level log_format metrics
		defaults functions exec dir env inherit_env queue version key key_conflict args tags timeout async_timeout ttl fresh failure_ttl failure_answer max_retries retry_delay
		retry_backoff_factor retry_max_delay retry_jitter backoff permanent_exit_codes
		gates each all rate burst most_waiting gate turn share ahead`) {
		require.Regexp(t, `(?m)^[# ]*`+key+`:\s`, string(text))
	}
}

func TestTheShippedExamplesWork(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../config.yaml")
	require.NoError(t, err)
	before, example, found := strings.Cut(string(text), "gates: {}")
	require.True(t, found)
	gates, example, found := strings.Cut(example, "\n\n")
	require.True(t, found)
	uncommented := strings.ReplaceAll("gates:"+gates+"\n\n"+strings.Replace(example, "functions: {}", "functions:", 1), "\n#  ", "\n  ")
	c := mustLoad(t, before+uncommented, nil, nil)
	f, err := c.Function("thumb")
	require.NoError(t, err)
	require.Equal(t, []string{"python3", "thumb.py"}, f.Exec)
	require.Equal(t, "media", f.Func.Queue)
	geocode, err := c.Function("geocode")
	require.NoError(t, err)
	require.Equal(t, refcache.Gate{Name: "maps", Each: 5, All: refcache.Slots, Rate: refcache.Rate{N: 20, Per: time.Second, Burst: 20}, MostWaiting: 10_000}, geocode.Func.Gate)
	require.Equal(t, refcache.TurnFields{Key: []string{"/host"}, Share: []string{"/tenant"}, Ahead: 30 * time.Second}, geocode.Func.TurnFields)
}

// writeSample writes the sample to a folder and loads its configuration.
func writeSample(t *testing.T) config.Config {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(folder, config.Sample()))
	c, err := config.Load(config.Options{Flags: map[string]string{"config": filepath.Join(folder, "config.yaml")}})
	require.NoError(t, err)
	return c
}

func TestTheSampleChangesNoDefaultAndDeclaresOneFunction(t *testing.T) {
	t.Parallel()
	c := writeSample(t)
	for _, s := range c.Settings() {
		require.Equal(t, "default", s.Source, s.Key)
	}
	require.Len(t, c.Functions, 1)
	require.Equal(t, []string{"sh", "wordcount.sh"}, c.Functions[0].Exec)
}

func TestTheSamplesCommentsAreValidToo(t *testing.T) {
	t.Parallel()
	text, err := fs.ReadFile(config.Sample(), "config.yaml")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "# What holds")
	require.True(t, found)
	var lines []string
	for line := range strings.Lines(rest) {
		if line = strings.TrimPrefix(line, "# "); strings.Contains(line, ": ") || line == "defaults:\n" || line == "web:\n" {
			lines = append(lines, line)
		}
	}
	c, nothing := mustLoad(t, strings.Join(lines, ""), nil, nil), mustLoad(t, "", nil, nil)
	for i, s := range c.Settings() {
		require.Equal(t, nothing.Settings()[i].Value, s.Value, s.Key)
		require.Contains(t, s.Source, "config.yaml:")
	}
}

func TestTheSampleIsNeverWrittenOverOthersFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	mine := filepath.Join(folder, "wordcount.sh")
	require.NoError(t, os.WriteFile(mine, []byte("mine"), 0o600))
	require.ErrorIs(t, os.CopyFS(folder, config.Sample()), fs.ErrExist)
	text, err := os.ReadFile(mine)
	require.NoError(t, err)
	require.Equal(t, "mine", string(text))
}

func TestTheSampleCountsWords(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 1)
	f := writeSample(t).Functions[0]
	run := func(arguments string) (stdout, stderr string, code int) {
		var out, progress bytes.Buffer
		cmd := exec.Command(f.Exec[0], f.Exec[1:]...)
		cmd.Dir, cmd.Env = f.Dir, []string{"PATH=" + os.Getenv("PATH"), "STEP_SECONDS=0"}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(arguments), &out, &progress
		err := cmd.Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return out.String(), progress.String(), exit.ExitCode()
		}
		require.NoError(t, err)
		return out.String(), progress.String(), 0
	}
	for arguments, want := range map[string]string{
		`{"text":"to be or not to be"}`:         `{"lines":1,"words":6,"bytes":18}`,
		`{"text":"to be"}`:                      `{"lines":1,"words":2,"bytes":5}`,
		`{"text":"a\nb c\n\"d\""}`:              `{"lines":3,"words":4,"bytes":9}`,
		`{"text":"$(id) ` + "`id`" + ` %s -n"}`: `{"lines":1,"words":4,"bytes":16}`,
		`{"text":"-n"}`:                         `{"lines":1,"words":1,"bytes":2}`,
		`{"text":""}`:                           `{"lines":1,"words":0,"bytes":0}`,
	} {
		for range 2 { // a second run must not mind the first
			stdout, stderr, code := run(arguments)
			require.Equal(t, want+"\n", stdout, arguments)
			require.Equal(t, "refq-progress: 1/3 lines\nrefq-progress: 2/3 words\nrefq-progress: 3/3 bytes\n", stderr)
			require.Zero(t, code)
		}
	}
	stdout, stderr, code := run(`{"words":"x"}`)
	require.Empty(t, stdout)
	require.Contains(t, stderr, `the arguments must be like {"text":"to be or not to be"}`)
	require.Equal(t, f.PermanentExitCodes, []int{code})
}
