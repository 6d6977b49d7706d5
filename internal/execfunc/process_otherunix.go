//go:build unix && !linux

package execfunc

import (
	"os/exec"
	"syscall"
)

func processAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// wait is cmd.Wait followed by exited. Not every Unix can tell of an exit without reaping, so here the rest of the
// group is killed only when the pipes have been closed.
func wait(cmd *exec.Cmd, exited func()) error {
	defer exited()
	return cmd.Wait()
}
