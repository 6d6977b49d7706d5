package execfunc

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

func processAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// wait is cmd.Wait, except that it calls exited after the command's exit and before it is reaped: so long its pid, which
// is the id of its group, can belong to no other.
func wait(cmd *exec.Cmd, exited func()) error {
	if err := awaitExit(cmd.Process.Pid); err != nil { // there are sandboxes without waitid
		defer exited()
		return cmd.Wait()
	}
	exited()
	return cmd.Wait()
}

func awaitExit(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err
		}
	}
}
