package testkit

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// Main runs the tests of a package and exits. TestMain calls it. Afterwards no goroutine may be left. As many tests run
// at once as [Reserve] has units, because most of them wait rather than compute. Of the checks of package rapid, as many
// run as [Rounds] says. The flags -parallel and -rapid.checks win.
func Main(m goleak.TestingM) {
	redis.SetLogger(quiet{})
	flag.Parse()
	setDefault("test.parallel", func(string) int { return units() })
	setDefault("rapid.checks", func(all string) int {
		n, err := strconv.Atoi(all)
		if err != nil {
			panic(err)
		}
		return Rounds(n)
	})
	goleak.VerifyTestMain(settled{m}, goleak.Cleanup(func(code int) {
		removeProgram()
		os.Exit(code)
	}))
}

// settled are tests that are over when their goroutines are. A worker whose Redis is gone answers in time and leaves asynq
// behind, which ends as soon as the client gives up: that can take half a minute.
type settled struct{ tests goleak.TestingM }

// Run runs the tests and waits up to a minute for goroutines that end by themselves. After a failure nobody looks for
// such, and it does not wait.
func (s settled) Run() int {
	code := s.tests.Run()
	for end := time.Now().Add(time.Minute); code == 0 && goleak.Find() != nil && time.Now().Before(end); {
	}
	return code
}

// setDefault gives a flag another default, made of its own one, if the test binary has that flag.
func setDefault(name string, value func(was string) int) {
	f := flag.Lookup(name)
	if f == nil || f.Value.String() != f.DefValue {
		return
	}
	if err := f.Value.Set(strconv.Itoa(value(f.DefValue))); err != nil {
		panic(err)
	}
}

// quiet keeps what go-redis logs about refused connections out of the tests' output.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// Rounds is how often a test does what it repeats to meet more cases: the percentage of all that REFQ_TEST_ROUNDS says,
// at least once, and all without that variable.
func Rounds(all int) int {
	percent := 100
	if text := os.Getenv("REFQ_TEST_ROUNDS"); text != "" {
		var err error
		if percent, err = strconv.Atoi(text); err != nil || percent < 0 {
			panic(fmt.Sprintf("REFQ_TEST_ROUNDS is %q, which is no percentage", text))
		}
	}
	return max(1, all*percent/100)
}

// Long skips a test with -short that computes for about a second or longer.
func Long(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("skipped, it takes long, and the tests are short")
	}
}

// units is how many servers and processes the tests of all packages may have at once.
func units() int { return max(16, 8*runtime.NumCPU()) }
