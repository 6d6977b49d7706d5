package testkit

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// Main runs the tests of a package and exits. TestMain calls it. Afterwards no goroutine may be left. As many tests run
// at once as [Reserve] has units, because most of them wait rather than compute; a flag -parallel wins.
func Main(m goleak.TestingM) {
	redis.SetLogger(quiet{})
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(strconv.Itoa(units())); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		removeProgram()
		os.Exit(code)
	}))
}

// quiet keeps what go-redis logs about refused connections out of the tests' output.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// Rounds is how often a test repeats something: few times in the everyday run, where REFQ_TEST_ROUNDS gives the share in
// percent, and always at least once. Without that variable it is all.
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

// units is how many servers and processes the tests of all packages may have at once.
func units() int { return max(16, 8*runtime.NumCPU()) }
