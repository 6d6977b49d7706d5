package browser

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/refq/refq"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// site is a refq dev of its own: Redis in memory, a worker, and the pages.
type site struct {
	url     string
	rdb     redis.UniversalClient
	folder  string // of config.yaml, where the functions run
	process *exec.Cmd
}

// functions take a name as argument. They go on when the test lets them: each waits for files of that name.
const functions = `
redis: %s
web: {listen: "127.0.0.1:0"}
shutdown_timeout: 0
functions:
  echo:
    exec: [cat]
  steps: # reports n of 4, and waits for NAME.n
    exec: [sh, -c, 'name=$(cat | tr -d \"); for n in 1 2 3 4; do echo "refq-progress: $n/4 step $n" >&2; until [ -e "$name.$n" ]; do sleep 0.05; done; done; echo "{\"name\":\"$name\"}"']
  flaky: # fails until there is NAME.ok, again after 1 min
    exec: [sh, -c, 'name=$(cat | tr -d \"); [ -e "$name.ok" ] && echo "\"done\"" || { echo "service of $name is down" >&2; exit 1; }']
    max_retries: 2
    retry_delay: 60s
    retry_jitter: 0
  broken: # fails for good until there is NAME.ok
    exec: [sh, -c, 'name=$(cat | tr -d \"); [ -e "$name.ok" ] && echo "\"done\"" || { echo "service of $name is down" >&2; exit 1; }']
    max_retries: 0
  shaky: # as flaky, but again after 2 s, many times
    exec: [sh, -c, 'name=$(cat | tr -d \"); [ -e "$name.ok" ] && echo "\"done\"" || { echo "service of $name is down" >&2; exit 1; }']
    max_retries: 100
    retry_delay: 2s
    retry_backoff_factor: 1
  thumbnail: # for pictures, as the next
    exec: [sh, -c, 'cat >/dev/null; sleep 0.$$; echo "{\"width\":320,\"height\":200}"']
  invoice:
    exec: [sh, -c, 'cat >/dev/null; echo "connect to billing.example.com:443: connection refused" >&2; exit 1']
    max_retries: 2
    retry_delay: 1s
`

func startSite() (*site, error) {
	folder, err := os.MkdirTemp("", "refq-browser-")
	if err != nil {
		return nil, err
	}
	program := filepath.Join(folder, "refq")
	build := exec.Command("go", "build", "-o", program, "./cmd/refq")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free
	if err != nil {
		return nil, err
	}
	url := "redis://" + l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, "config.yaml"), fmt.Appendf(nil, functions, url), 0o600); err != nil {
		return nil, err
	}
	s := &site{folder: folder, process: exec.Command(program, "dev", "-o", "json")}
	s.process.Dir = folder
	s.process.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder}
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	s.process.Stderr = log
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	if err := s.announced(out); err != nil {
		s.stop()
		return nil, err
	}
	s.rdb, err = refq.Connect(url)
	return s, err
}

// announced reads where the site is.
func (s *site) announced(out io.Reader) error {
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(s.folder, "log"))
		return fmt.Errorf("%w: %s", err, log)
	}
	var where struct{ Web string }
	err = json.Unmarshal([]byte(line), &where)
	s.url = where.Web
	return err
}

func (s *site) stop() {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	_ = s.process.Wait()
	_ = os.RemoveAll(s.folder)
}

// let makes the file that a function waits for.
func (s *site) let(t *testing.T, file string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(s.folder, file), nil, 0o600))
}

// call makes a call through the HTTP API, and returns its ref_id; wait is as there.
func (s *site) call(t *testing.T, function string, args any, wait string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"func": function, "args": args, "wait": wait})
	require.NoError(t, err)
	res, err := http.Post(s.url+"/api/v1/calls", "application/json", strings.NewReader(string(body)))
	require.NoError(t, err)
	defer res.Body.Close()
	var made struct {
		Ref string `json:"ref_id"`
	}
	require.NoError(t, json.NewDecoder(res.Body).Decode(&made))
	require.NotEmpty(t, made.Ref)
	return made.Ref
}

// status is how a call stands, by the API.
func (s *site) status(t *testing.T, ref string) string {
	t.Helper()
	res, err := http.Get(s.url + "/api/v1/calls/" + ref + "?format=minimal")
	require.NoError(t, err)
	defer res.Body.Close()
	var now struct{ Status string }
	require.NoError(t, json.NewDecoder(res.Body).Decode(&now))
	return now.Status
}

// until waits until a call has the status.
func (s *site) until(t *testing.T, ref, status string) {
	t.Helper()
	for end := time.Now().Add(patience); s.status(t, ref) != status; time.Sleep(look) {
		require.True(t, time.Now().Before(end), "%s is %s, not %s", ref, s.status(t, ref), status)
	}
}
