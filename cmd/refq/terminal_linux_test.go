package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// terminal is a program for scripts: "terminal [-when TEXT ACTION] PROGRAM [ARGS...]" runs a program on a terminal of
// 100 columns and prints what it prints. When TEXT appears, it does ACTION: ^C, typing what follows "type:", or writing
// to the file of that name. It exits as the program does.
func terminal() {
	args, text, action := os.Args[1:], "", ""
	if args[0] == "-when" {
		text, action, args = args[1], args[2], args[3:]
	}
	keyboard, screen, err := openTerminal()
	if err != nil {
		fatal(err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = screen, screen, screen
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		fatal(err)
	}
	screen.Close()
	display(keyboard, text, action)
	if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
		fatal(err)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "terminal:", err)
	os.Exit(99)
}

// openTerminal returns both ends of a new pseudo-terminal.
func openTerminal() (keyboard, screen *os.File, err error) {
	keyboard, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		return nil, nil, err
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	return keyboard, screen, err
}

// display copies the terminal's output to stdout until all who write to it have ended.
func display(keyboard io.ReadWriter, text, action string) {
	var seen []byte
	buf := make([]byte, 4096)
	for {
		n, err := keyboard.Read(buf)
		if err != nil {
			return // EIO: nobody is left
		}
		os.Stdout.Write(buf[:n])
		seen = append(seen, buf[:n]...)
		if action == "" || !bytes.Contains(seen, []byte(text)) {
			continue
		}
		if action == "^C" {
			keyboard.Write([]byte{3})
		} else if line, ok := strings.CutPrefix(action, "type:"); ok {
			fmt.Fprintln(keyboard, line)
		} else if err := os.WriteFile(action, []byte("\n"), 0); err != nil {
			fatal(err)
		}
		action = ""
	}
}
