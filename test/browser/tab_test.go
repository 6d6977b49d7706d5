package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

const (
	patience = 90 * time.Second // for a state to come, on a machine that does much else
	look     = 50 * time.Millisecond
)

// tab is a tab of the browser. When its test ends, nothing may have gone wrong in it.
type tab struct {
	*testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string // URLs
	wrong    []string // what the browser complained of
}

// open opens a tab as wide and high as a desktop's.
func open(t *testing.T) *tab {
	t.Helper()
	ctx, shut := chromedp.NewContext(browser)
	b := &tab{T: t, ctx: ctx}
	t.Cleanup(shut)
	require.NoError(t, chromedp.Listen(ctx, b.hear))
	t.Cleanup(b.checkManners)
	b.size(1280, 900)
	return b
}

func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *log.EventEntryAdded: // what a policy refused, among others
		if e.Entry.Level == log.EntryLevelError {
			b.wrong = append(b.wrong, e.Entry.Text+" "+e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, e.ExceptionDetails.Text)
	}
}

// checkManners checks that the tab asked nobody but this machine, and that the browser had nothing to complain of: no
// breach of the policy, no script that failed, nothing that could not be loaded.
func (b *tab) checkManners() {
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(b, b.wrong)
	for _, request := range b.requests {
		u, err := url.Parse(request)
		require.NoError(b, err)
		require.Contains(b, []string{"127.0.0.1", "localhost", ""}, u.Hostname(), request)
	}
}

// forgive forgets what went wrong so far, for tests in which something should.
func (b *tab) forgive() (wrong []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wrong, b.wrong = b.wrong, nil
	return wrong
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	require.NoError(b, chromedp.Do(ctx, steps...))
}

func (b *tab) size(width, height int64) { b.Helper(); b.do(chromedp.EmulateViewport(width, height)) }

// visit goes to a page of the site.
func (b *tab) visit(path string) { b.Helper(); b.goTo(program.url + path) }

func (b *tab) goTo(url string) { b.Helper(); b.do(chromedp.Navigate(url)) }

// eval is the value of an expression in the page.
func eval[T any](b *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression))
}

func must[T any](b *tab, expression string) T {
	b.Helper()
	value, err := eval[T](b, expression)
	require.NoError(b, err, expression)
	return value
}

// until waits until an expression is true in the page, whichever page that is by then.
func (b *tab) until(expression string) {
	b.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(look) {
		ok, err := eval[bool](b, "!!("+expression+")") // fails between two pages
		if err == nil && ok {
			return
		}
		if time.Now().After(end) {
			text, _ := eval[string](b, `location.href + "\n" + document.body.innerText`)
			b.shoot("failed " + b.Name())
			require.FailNow(b, "it does not come", "%s (%v)\n%s", expression, err, text)
		}
	}
}

// sees waits until the page shows a text.
func (b *tab) sees(text string) {
	b.Helper()
	b.until(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// screenshots is where pages are pictured, if anywhere.
var screenshots = os.Getenv("REFQ_SCREENSHOTS")

// shoot pictures the page as a file NAME.webp.
func (b *tab) shoot(name string) {
	b.Helper()
	if screenshots == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	quality := int64(80)
	picture, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatWebp, Quality: &quality})
	require.NoError(b, err)
	require.NoError(b, os.MkdirAll(screenshots, 0o755))
	file := filepath.Join(screenshots, strings.NewReplacer("/", "-", " ", "-").Replace(name)+".webp")
	require.NoError(b, os.WriteFile(file, picture.Data, 0o644))
}

// press presses a key so many times as it takes until an expression is true.
func (b *tab) press(key, expression string) {
	b.Helper()
	for range 100 {
		b.do(chromedp.KeyEvent(key))
		if must[bool](b, "!!("+expression+")") {
			return
		}
	}
	b.shoot("failed " + b.Name())
	require.FailNow(b, "the key does not lead there", "%q: %s", key, expression)
}

// click clicks on the button or link with a text.
func (b *tab) click(text string) {
	b.Helper()
	button := fmt.Sprintf(`[...document.querySelectorAll("button, a, summary")].find(e => e.textContent.trim() == %q && e.checkVisibility())`, text)
	b.until(button)
	b.do(chromedp.Evaluate[chromedp.Void](button + ".click()"))
}

// setValue types over what stands in a field.
func setValue(field, value string) chromedp.Action[chromedp.Void] {
	return chromedp.SetValue(chromedp.CSS(field), value)
}
