// Command stress runs a command several times beside busy loops, two on each core, so that the command has a third of the
// machine. Tests know it by REFQ_TEST_STRESS. It ends with the first run that fails.
//
//	go run ./test/stress [-runs N] go test ./...
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"time"
)

// loopVariable is set in a process that is a busy loop. Its input ends with the process that started it, and with that
// input it ends.
const loopVariable = "REFQ_STRESS_LOOP"

const loopsPerCore = 2

func main() {
	if os.Getenv(loopVariable) != "" {
		loop()
	}
	runs := flag.Int("runs", 5, "how often the command is run")
	flag.Parse()
	if err := stress(*runs, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "stress:", err)
		os.Exit(1)
	}
}

func loop() {
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	for turns := new(atomic.Int64); ; {
		turns.Add(1)
	}
}

func stress(runs int, command []string) (err error) {
	if len(command) == 0 {
		return errors.New("name a command to run")
	}
	for range loopsPerCore * runtime.NumCPU() {
		end, err := startLoop()
		if err != nil {
			return err
		}
		defer end()
	}
	for run := range runs {
		start := time.Now()
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), "REFQ_TEST_STRESS=1")
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("run %d of %d, after %v: %w", run+1, runs, time.Since(start).Round(time.Second), err)
		}
		fmt.Printf("run %d of %d passed in %v\n", run+1, runs, time.Since(start).Round(time.Second))
	}
	return nil
}

// startLoop starts a busy loop, as a process of its own that has one core.
func startLoop() (end func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), loopVariable+"=1", "GOMAXPROCS=2") // one computes, one waits for the end
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = life.Close()
		_ = cmd.Wait()
	}, nil
}
