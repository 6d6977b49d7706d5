// Package execfunc runs commands as functions: the arguments arrive as JSON on stdin, the result leaves as JSON on
// stdout, and stderr carries progress and what went wrong. A command gets no shell, a process group of its own, and
// only the environment that its entry names. This takes a Unix; elsewhere the package builds and refuses.
package execfunc

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/refq/refq/worker"
)

// Command is a function without Go: one exec entry of the configuration. It is a plain value, safe for concurrent use.
type Command struct {
	// Argv is the program and its arguments, handed over as they are. A program with a slash in its name is relative
	// to Dir; one without is looked for in the PATH that the command gets.
	Argv []string
	// Dir is the working directory. Empty: the worker's.
	Dir string
	// Env is what the command finds in its environment besides PATH, HOME, LANG, TZ and TMPDIR of the worker's, and
	// the variables REFQ_REF_ID, REFQ_ATTEMPT, REFQ_MAX_RETRIES and REFQ_FUNCTION, which nothing here can change.
	Env map[string]string
	// InheritEnv names further variables that are taken from the worker's environment, when set there and not in Env.
	InheritEnv []string
	// PermanentExitCodes are the exit codes that make a failure permanent. Nil means 65; empty means none.
	PermanentExitCodes []int
	// MaxResult is how many bytes the command may write to stdout. Zero and less mean worker.DefaultMaxResult.
	MaxResult int
}

// inherited are the variables of the worker's that every command gets.
var inherited = []string{"PATH", "HOME", "LANG", "TZ", "TMPDIR"}

func (c Command) permanent(exitCode int) bool {
	if c.PermanentExitCodes == nil {
		return exitCode == 65 // EX_DATAERR of sysexits.h
	}
	return slices.Contains(c.PermanentExitCodes, exitCode)
}

func (c Command) maxResult() int {
	if c.MaxResult <= 0 {
		return worker.DefaultMaxResult
	}
	return c.MaxResult
}

func (c Command) environment(r worker.Running) []string {
	env := map[string]string{}
	for _, name := range slices.Concat(inherited, c.InheritEnv) {
		if value, set := os.LookupEnv(name); set {
			env[name] = value
		}
	}
	maps.Copy(env, c.Env)
	env["REFQ_REF_ID"] = string(r.Ref)
	env["REFQ_ATTEMPT"] = strconv.Itoa(r.Attempt)
	env["REFQ_MAX_RETRIES"] = strconv.Itoa(r.MaxRetries)
	env["REFQ_FUNCTION"] = r.Function

	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// locate returns the absolute path of the program, and an error if the program, what its first line names or the working directory
// is missing.
func (c Command) locate() (string, error) {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return "", errors.New("exec is empty: name a program and its arguments")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return "", fmt.Errorf("working directory %q: %w", c.Dir, err)
	}
	switch info, err := os.Stat(dir); {
	case err != nil:
		return "", fmt.Errorf("working directory: %w; create it or set dir", err)
	case !info.IsDir():
		return "", fmt.Errorf("working directory %s is a file; set dir", dir)
	}
	locate := c.lookFor
	if strings.Contains(c.Argv[0], "/") {
		locate = func(program string) (string, error) { return locateFile(program, dir) }
	}
	program, err := locate(c.Argv[0])
	if err == nil {
		err = c.checkFirstLine(program, dir)
	}
	return program, err
}

func locateFile(name, dir string) (string, error) {
	program := name
	if !filepath.IsAbs(program) {
		program = filepath.Join(dir, program)
	}
	if _, err := exec.LookPath(program); err != nil {
		return "", fmt.Errorf("program %q: %s is no executable file: %w", name, program, cmp.Or(errors.Unwrap(err), err))
	}
	return program, nil
}

// lookFor is exec.LookPath on the command's PATH, which Env may have changed. Relative entries are passed over: what they name
// would depend on where the worker was started.
func (c Command) lookFor(name string) (string, error) {
	path, set := c.Env["PATH"]
	if !set {
		path = os.Getenv("PATH")
	}
	for _, dir := range filepath.SplitList(path) {
		program := filepath.Join(dir, name)
		if _, err := exec.LookPath(program); err == nil && filepath.IsAbs(dir) {
			return program, nil
		}
	}
	return "", fmt.Errorf("program %q is not in PATH (%s): install it or give its path", name, path)
}
