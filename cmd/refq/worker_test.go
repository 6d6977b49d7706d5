//go:build unix

package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/testkit"
)

// refqIn returns a command that runs refq in a folder until the test ends.
func refqIn(t *testing.T, dir, addr string, args ...string) *exec.Cmd {
	t.Helper()
	testkit.RequireReserved(t)
	cmd := exec.CommandContext(t.Context(), testkit.Program(t), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "REFQ_REDIS=redis://"+addr+"/0", testkit.NoSleep)
	return cmd
}

// startWorker starts refq worker and returns it with the lines of its log.
func startWorker(t *testing.T, dir, addr string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	worker := refqIn(t, dir, addr, "worker")
	logs, err := worker.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, worker.Start())
	return worker, bufio.NewScanner(logs)
}

func writeConfig(t *testing.T, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600))
	return dir
}

func readUntil(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return
		}
	}
	require.Fail(t, "missing on stderr: "+text)
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	require.NoError(t, err)
	return 0
}

func TestASecondSignalEndsTheWorkerAtOnce(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	server, err := memredis.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(server.Close)
	dir := writeConfig(t, `
shutdown_timeout: 1h
functions:
  long: {exec: [sh, -c, 'echo > started; exec sleep 3600']}
`)
	started := filepath.Join(dir, "started")
	require.NoError(t, syscall.Mkfifo(started, 0o600))

	worker, log := startWorker(t, dir, server.Addr())
	require.Equal(t, exitInFlight, exitCode(t, refqIn(t, dir, server.Addr(), "call", "long", "--wait", "0").Run()))
	_, err = os.ReadFile(started)
	require.NoError(t, err)
	require.NoError(t, worker.Process.Signal(os.Interrupt))
	readUntil(t, log, "worker stopping")
	require.NoError(t, worker.Process.Signal(syscall.SIGTERM))
	require.Equal(t, exitOther, exitCode(t, worker.Wait()))
}

func TestAWorkerMayStartBeforeItsRedis(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 4)
	addr, err := freeAddr()
	require.NoError(t, err)
	dir := writeConfig(t, "functions: {echo: {exec: [cat]}}")

	worker, log := startWorker(t, dir, addr)
	readUntil(t, log, "the worker keeps trying")
	server, err := memredis.Listen(addr)
	require.NoError(t, err)
	t.Cleanup(server.Close)
	require.Equal(t, exitDone, exitCode(t, refqIn(t, dir, addr, "call", "echo", "--wait", "20s").Run()))
	require.NoError(t, worker.Process.Signal(os.Interrupt))
	readUntil(t, log, "worker stopped")
	require.Equal(t, exitDone, exitCode(t, worker.Wait()))
}
