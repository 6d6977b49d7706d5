package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// What a newcomer does first: a call that fails, from the page of its function; why; and once more.
func TestAFailedCallIsMadeUnderstoodAndRetriedFromPages(t *testing.T) {
	b := open(t)
	b.visit("/functions")
	b.sees("broken")
	b.click("broken")
	b.until(`document.querySelector("textarea")`)
	b.shoot("function")
	b.do(setValue("textarea", `"newcomer"`))
	b.click("Make the call")
	b.until(`location.pathname.startsWith("/calls/default:")`)
	ref := must[string](b, `location.pathname.slice("/calls/".length)`)
	program.until(t, ref, "failed")
	b.visit("/calls/" + ref)
	b.sees("service of newcomer is down")
	b.shoot("call failed")
	program.let(t, "newcomer.ok")
	b.click("Retry with a fresh budget")
	program.until(t, ref, "complete")
	b.visit("/calls/" + ref)
	b.sees("Complete")
	b.sees(`"done"`)
	b.shoot("call complete")
}

func TestACallIsCancelledFromItsPage(t *testing.T) {
	ref := program.call(t, "steps", "cancelled", "0")
	program.until(t, ref, "processing")
	b := open(t)
	b.visit("/calls/" + ref)
	b.click("Cancel")
	b.sees("The call was cancelled.")
	require.Equal(t, "cancelled", program.status(t, ref))
}

func TestTheNextRetryIsCountedDown(t *testing.T) {
	ref := program.call(t, "flaky", "countdown", "0")
	program.until(t, ref, "retrying")
	b := open(t)
	b.visit("/calls/" + ref)
	const left = `document.querySelector("time[data-until]").textContent`
	b.until(`/^in (1 min|\d+ s)/.test(` + left + `)`)
	b.shoot("call retrying")
	before := must[string](b, left)
	b.until(left + ` != "` + before + `"`)
	require.Equal(t, "retrying", program.status(t, ref))
}

func TestAFailedCallIsRetriedByKeyboardAlone(t *testing.T) {
	ref := program.call(t, "broken", "keyboard", "60s")
	program.let(t, "keyboard.ok")
	b := open(t)
	b.visit("/calls/" + ref)
	b.press(kb.Tab, `document.activeElement.textContent == "Skip to the content"`)
	b.until(`document.activeElement.getBoundingClientRect().top >= 0`) // it shows, to whom it is for
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until(`document.activeElement.id == "main" || location.hash == "#main"`)
	b.press(kb.Tab, `document.activeElement.textContent.trim() == "Retry with a fresh budget"`)
	require.NotEqual(t, "none", must[string](b, `getComputedStyle(document.activeElement).outlineStyle`), "focus is seen")
	b.do(chromedp.KeyEvent(kb.Enter))
	program.until(t, ref, "complete")
}

func TestACallLeadsToItsDoorbellAndBack(t *testing.T) {
	ref := program.call(t, "broken", "there and back", "60s")
	b := open(t)
	b.visit("/calls/" + ref)
	b.click("In asynq’s pages")
	b.until(`location.pathname.startsWith("/queues/")`)
	b.sees("service of there and back is down")
	b.click("refq")
	b.until(`location.pathname == "/calls/` + ref + `"`)
}
