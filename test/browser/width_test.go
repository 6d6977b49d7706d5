package browser

import (
	"strconv"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

func TestNoPageScrollsSidewaysOnAPhone(t *testing.T) {
	ended := program.call(t, "echo", map[string]any{"a long name without any space to break a line at": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}, "60s")
	failed := program.call(t, "broken", "phone", "60s")
	waits := program.call(t, "flaky", "phone", "0")
	program.until(t, waits, "retrying")
	b := open(t)
	for _, width := range []int64{360, 2560} {
		b.size(width, 800)
		for name, path := range map[string]string{"overview": "/", "functions": "/functions", "function": "/functions/steps",
			"calls": "/calls", "errors": "/calls?status=failed&group=error", "retry": "/calls/retry?status=failed", "call complete": "/calls/" + ended, "call failed": "/calls/" + failed, "call retrying": "/calls/" + waits} {
			b.visit(path)
			b.until(`document.querySelector("main h1")`)
			require.LessOrEqual(t, must[int64](b, `document.documentElement.scrollWidth`), width, path)
			b.shoot(name + " " + strconv.FormatInt(width, 10))
		}
	}
}

func TestPagesAreDarkWhereThatIsPreferred(t *testing.T) {
	b := open(t)
	b.visit("/")
	brightness := `getComputedStyle(document.body).color.match(/[\d.]+/g).slice(0, 3).reduce((sum, n) => sum + +n, 0)`
	b.shoot("overview")
	light := must[float64](b, brightness)
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	require.NoError(t, err)
	b.shoot("overview dark")
	require.Greater(t, must[float64](b, brightness), light, "of the text")
}
