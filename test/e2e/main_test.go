//go:build unix

package e2e

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// soon is longer than a busy machine takes for anything that these tests wait for. What is expected to be quicker than
// that says so where it is tested.
const soon = 40 * time.Second

// busy is how many times longer than on a quiet machine things may take that tests measure: so long that they still tell
// what mended something, not so short that they tell of other work. docs/reliability.md has what is promised.
const busy = 3

// A process with this variable set is not the test but one of its puppets; the value is the address of its stage.
const stageVariable = "E2E_STAGE"

func TestMain(m *testing.M) {
	if stage := os.Getenv(stageVariable); stage != "" {
		puppet(stage)
		return
	}
	redis.SetLogger(quiet{})
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("32") // the tests wait rather than compute
	}
	_, _ = program() // the machine has enough to do without it later; its error is told to those who need it
	code := m.Run()
	_ = os.RemoveAll(binDir)
	os.Exit(code)
}

// quiet keeps what the client logs about refused connections out of the tests' output.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var binDir string

// program is the binary under test; with the race detector if the tests have it. "go run" finds it in the build cache if
// nothing has changed, where "go build" would link it anew.
var program = sync.OnceValues(func() (path string, err error) {
	if binDir, err = os.MkdirTemp("", "refq-e2e-"); err != nil {
		return "", err
	}
	path = filepath.Join(binDir, "refq")
	cmd := exec.Command("go", "run", "-exec", "cp", "-race="+strconv.FormatBool(raceDetector()), "../../cmd/refq", path)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build refq: %w\n%s", err, out)
	}
	return path, readSources("../../cmd", "../../internal")
})

func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// readSources reads the folders of what the binary is made of and the tests do not import: the go command takes note,
// and does not repeat an old test result when something there has changed.
func readSources(roots ...string) error {
	for _, root := range roots {
		if err := filepath.WalkDir(root, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			return err
		}
	}
	return nil
}
