package browser

import (
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// barriers finds what keeps people from a page: texts too pale on their ground for WCAG AA, fields, buttons and links without
// a name, ids that are there twice, and a frame that screen readers cannot find their way in.
const barriers = `(() => {
	const found = [];
	const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
	const rgba = (color) => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = color;
		canvas.fillRect(0, 0, 1, 1);
		return canvas.getImageData(0, 0, 1, 1).data;
	};
	const over = (top, ground) => [0, 1, 2].map(i => top[i] * top[3] / 255 + ground[i] * (1 - top[3] / 255));
	const ground = (element) => {
		if (!element) return rgba("Canvas");
		const own = rgba(getComputedStyle(element).backgroundColor);
		return own[3] == 255 ? own : over(own, ground(element.parentElement));
	};
	const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => {
		const s = c[i] / 255;
		return sum + part * (s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4);
	}, 0);
	const name = (e) => (e.getAttribute("aria-label") || e.textContent || e.title).trim();
	for (const element of document.querySelectorAll("body *")) {
		const text = [...element.childNodes].filter(n => n.nodeType == Node.TEXT_NODE).map(n => n.data).join("").trim();
		const box = element.getBoundingClientRect();
		if (!text || element.closest("svg, option, datalist, .skip") || !element.checkVisibility() || box.width < 2) continue;
		const style = getComputedStyle(element), behind = ground(element);
		const a = light(over(rgba(style.color), behind)), b = light(behind);
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
		if (ratio < (large ? 3 : 4.5)) found.push("pale, " + ratio.toFixed(2) + ": " + text.slice(0, 40) + " (" + element.localName + "." + element.className + ")");
	}
	for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
		if (!field.labels.length && !field.getAttribute("aria-label")) found.push("field without label: " + field.outerHTML.slice(0, 80));
	for (const e of document.querySelectorAll("button, a[href], summary"))
		if (!name(e)) found.push("no name: " + e.outerHTML.slice(0, 80));
	for (const image of document.querySelectorAll("svg"))
		if (image.getAttribute("aria-hidden") != "true" && !image.getAttribute("aria-label")) found.push("picture without words: " + image.outerHTML.slice(0, 80));
	const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
	for (const id of ids) if (ids.indexOf(id) != ids.lastIndexOf(id)) found.push("twice: #" + id);
	for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
		for (const id of ((e.getAttribute("aria-labelledby") || "") + " " + (e.getAttribute("aria-describedby") || "")).split(/\s+/))
			if (id && !ids.includes(id)) found.push("labelled by nothing: " + id);
	for (const once of ["main", "h1", "body > header", "footer"])
		if (document.querySelectorAll(once).length != 1) found.push("not once: " + once);
	if (!document.documentElement.lang || !document.title) found.push("no language or title");
	return [...new Set(found)];
})()`

func TestPagesAreForEverybody(t *testing.T) {
	ended := program.call(t, "echo", map[string]any{"for": "everybody"}, "60s")
	failed := program.call(t, "broken", "everybody", "60s")
	waits := program.call(t, "flaky", "everybody", "0")
	runs := program.call(t, "steps", "everybody", "0")
	program.until(t, waits, "retrying")
	program.until(t, runs, "processing")
	b := open(t)
	for _, scheme := range []string{"light", "dark"} {
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		require.NoError(t, err)
		for _, path := range []string{"/", "/functions", "/functions/flaky", "/calls", "/calls?status=failed", "/calls?status=failed&group=error",
			"/calls/retry?status=failed", "/calls/cancel?status=retrying", "/calls?func=nobody", "/calls/" + ended, "/calls/" + failed, "/calls/" + waits, "/calls/" + runs} {
			b.visit(path)
			require.Empty(t, must[[]string](b, barriers), scheme+" "+path)
		}
	}
}
