package browser

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// follow goes to a page and waits until it hears of changes. Then unchanged tells whether it is still the same document.
func (b *tab) follow(path string) (unchanged func()) {
	b.Helper()
	b.visit(path)
	b.until(`document.querySelector("#live").textContent == "live"`)
	b.do(chromedp.Evaluate[chromedp.Void](`window.same = "document"; undefined`))
	return func() {
		b.Helper()
		require.Equal(b, "document", must[string](b, "window.same"), "the page was not loaded again")
	}
}

func TestProgressIsSeenAsItIsMade(t *testing.T) {
	ref := program.call(t, "steps", "live", "0")
	program.until(t, ref, "processing")
	b := open(t)
	unchanged := b.follow("/calls/" + ref)
	b.sees("step 1")
	b.do(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll("button")].find(b => b.textContent == "Cancel").focus()`))
	program.let(t, "live.1")
	b.sees("step 2")
	b.until(`document.querySelector("progress").value == 50`)
	b.shoot("call processing")
	require.Equal(t, "Cancel", must[string](b, "document.activeElement.textContent"), "focus stays")
	for _, step := range []string{"live.2", "live.3", "live.4"} {
		program.let(t, step)
	}
	b.sees("Complete")
	b.sees(`"name": "live"`)
	unchanged()
}

func TestRetriesAreSeenAsTheyCome(t *testing.T) {
	ref := program.call(t, "shaky", "comes back", "0")
	program.until(t, ref, "retrying")
	b := open(t)
	unchanged := b.follow("/calls/" + ref)
	b.sees("Attempt 2 failed")
	program.let(t, "comes back.ok")
	b.sees("Complete")
	unchanged()
}

func TestTheOverviewFollowsWhatHappens(t *testing.T) {
	b := open(t)
	unchanged := b.follow("/")
	const processing = `+document.querySelector("#tile-processing .figure").textContent`
	before := must[int](b, processing)
	ref := program.call(t, "steps", "overview", "0")
	program.until(t, ref, "processing")
	b.until(fmt.Sprint(processing, " > ", before))
	unchanged()
}

func TestAPageThatCannotListenAsksAgain(t *testing.T) {
	ref := program.call(t, "steps", "deaf", "0")
	program.until(t, ref, "processing")
	b := open(t)
	_, err := chromedp.Call(b.ctx, network.SetBlockedURLs, network.SetBlockedURLsParams{URLPatterns: []*network.BlockPattern{{URLPattern: "*://*:*/live*", Block: true}}})
	require.NoError(t, err)
	b.visit("/calls/" + ref)
	b.sees("step 1")
	program.let(t, "deaf.1")
	b.sees("step 2")
	b.forgive()
}

func TestPagesWorkWithoutScripts(t *testing.T) {
	ref := program.call(t, "broken", "no script", "60s")
	program.let(t, "no script.ok")
	b := open(t)
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	require.NoError(t, err)
	b.visit("/calls/" + ref)
	b.do(chromedp.Click(chromedp.CSS("form[action$='/retry'] button")))
	program.until(t, ref, "complete")
}
