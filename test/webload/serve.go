package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// site is a refq web.
type site struct {
	url     string
	folder  string
	process *exec.Cmd
}

// clientName is what refq web calls itself at Redis.
const clientName = "refq-web"

const configuration = `
web: {listen: "127.0.0.1:0", max_requests: 1000}
functions:
  waits: {queue: idle}
  works: {queue: busy}
  fails: {queue: busy, max_retries: 0}
  slow: {queue: busy, timeout: 0}
`

func serve(ctx context.Context, redis string) (*site, error) {
	folder, err := os.MkdirTemp("", "refq-webload-")
	if err != nil {
		return nil, err
	}
	s := &site{folder: folder}
	program := filepath.Join(folder, "refq")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/refq").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(folder, "config.yaml"), []byte(configuration), 0o600); err != nil {
		return nil, err
	}
	s.process = exec.Command(program, "web", "-o", "json")
	s.process.Dir, s.process.Stderr = folder, os.Stderr
	s.process.Env = append(os.Environ(), "REFQ_REDIS="+redis+"?client_name="+clientName)
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.stop()
		return nil, err
	}
	var where struct{ Web string }
	err = json.Unmarshal([]byte(line), &where)
	s.url = where.Web
	return s, err
}

func (s *site) stop() {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	_ = s.process.Wait()
	_ = os.RemoveAll(s.folder)
}

// memory is what the process holds, in MiB.
func (s *site) memory() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	return kib >> 10, err
}

// ask asks for each page, one request after the other, and says how long that took.
func (s *site) ask(ctx context.Context, calls made, n int) error {
	pages := []struct{ what, path string }{
		{"overview", "/"},
		{"calls", "/calls"},
		{"failed calls", "/calls?status=failed"},
		{"calls of a function", "/calls?func=works"},
		{"failed calls by error text, 2,000 searched", "/calls?status=failed&error=shard+77%3A"},
		{"failed calls, grouped by like errors", "/calls?status=failed&group=error"},
		{"a call", "/calls/" + string(calls.failed[0])},
		{"functions", "/functions"},
		{"API: list", "/api/v1/calls?status=failed"},
		{"API: a call", "/api/v1/calls/" + string(calls.failed[0])},
		{"asynqmon: queues", "/queues/api/queues"},
	}
	fmt.Printf("\n| page | p50 | p95 | most | KiB |\n|---|---|---|---|---|\n")
	var late error
	for _, page := range pages {
		took := make([]time.Duration, n)
		size := 0
		for i := range took {
			start := time.Now()
			body, err := s.get(ctx, page.path)
			if err != nil {
				return err
			}
			took[i], size = time.Since(start), len(body)
		}
		slices.Sort(took)
		p95 := took[n*95/100]
		fmt.Printf("| %s | %.1f ms | %.1f ms | %.1f ms | %d |\n", page.what, ms(took[n/2]), ms(p95), ms(took[n-1]), size>>10)
		if p95 > maxPage {
			late = fmt.Errorf("%s took %v, more than %v", page.path, p95, maxPage)
		}
	}
	return late
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (s *site) get(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return read(res)
}
