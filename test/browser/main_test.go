package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// One browser and one site serve all tests, one after the other: each has a tab, and calls, of its own.
var (
	browser context.Context
	program *site
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	path := chromium()
	if path == "" {
		if os.Getenv("REFQ_REQUIRE_BROWSER") == "1" {
			fmt.Println("REFQ_REQUIRE_BROWSER is 1, but there is no chromium")
			return 1
		}
		fmt.Println("skipped: there is no chromium here")
		return 0
	}
	var err error
	if program, err = startSite(); err != nil {
		fmt.Println("start refq dev:", err)
		return 1
	}
	defer program.stop()
	stop, err := startBrowser(path)
	if err != nil {
		fmt.Println("start", path+":", err)
		return 1
	}
	defer stop()
	return m.Run()
}

func chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func startBrowser(path string) (stop func(), err error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // it cannot have one as root
		chromedp.DisableGPU,
		chromedp.WSURLReadTimeout(2*time.Minute),
		// There is no network but this machine's own.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.Flag("lang", "en-GB"),
	)
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stopBrowser := chromedp.NewContext(allocator)
	stop = func() { stopBrowser(); stopAllocator() }
	if err := chromedp.Do(ctx); err != nil {
		stop()
		return nil, err
	}
	browser = ctx
	return stop, nil
}
