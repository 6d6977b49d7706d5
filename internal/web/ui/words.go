package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/refq/refq/refcache"
)

// functions are what templates may call.
var functions = template.FuncMap{
	"static":       staticPath,
	"time":         timeElement,
	"since":        sinceElement,
	"until":        untilElement,
	"after":        afterElement,
	"duration":     duration,
	"count":        func(n any) string { return count(reflect.ValueOf(n).Int()) },
	"percent":      percent,
	"plural":       plural,
	"json":         indented,
	"functionPath": functionPath,
	"callPath":     callPath,
	"callsPath":    callsPath,
	"gatePath":     gatePath,
	"nextOfKey":    nextOfKey,
	"quoteKey":     refcache.QuoteKey,
	"limit":        limit,
	"instant":      instant,
	"functionName": func(s string) string { return strings.TrimSuffix(s, "@1") },
	"bytes":        sizeOf,
}

// instant is a time as machines read it.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// timeElement shows an instant: in UTC, and in the viewer's zone where the script runs. The exact instant is its title.
func timeElement(t time.Time) template.HTML {
	return element(t, "", t.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// sinceElement shows how long ago an instant is, and goes on counting.
func sinceElement(t, now time.Time) template.HTML {
	return element(t, " data-since", duration(max(0, now.Sub(t)))+" ago")
}

// untilElement shows how long it is until an instant, and counts down.
func untilElement(t, now time.Time) template.HTML {
	return element(t, " data-until", "in "+duration(max(0, t.Sub(now))))
}

// afterElement shows how long an instant is after another.
func afterElement(t time.Time, after time.Duration) template.HTML {
	return element(t, " data-after", "+"+duration(after))
}

// element has nothing in it that others wrote.
func element(t time.Time, attribute, text string) template.HTML {
	at := instant(t)
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s"%s>%s</time>`, at, at, attribute, text))
}

// duration is a length of time in two units at most: 0 s, 12 ms, 1.5 s, 2 min 5 s, 3 h 4 min, 2 d 1 h. Those without end
// in sight are not told apart.
func duration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "−" + duration(-d)
	case d == 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(1, d.Milliseconds()))
	case d < time.Minute:
		return strconv.FormatFloat(math.Floor(d.Seconds()*10)/10, 'f', -1, 64) + " s"
	case d < time.Hour:
		return units(int64(d/time.Minute), "min", int64(d%time.Minute/time.Second), "s")
	case d < day:
		return units(int64(d/time.Hour), "h", int64(d%time.Hour/time.Minute), "min")
	case d >= 36500*day:
		return "100 years or more"
	default:
		return units(int64(d/day), "d", int64(d%day/time.Hour), "h")
	}
}

func units(large int64, name string, small int64, smallName string) string {
	if small == 0 {
		return fmt.Sprintf("%d %s", large, name)
	}
	return fmt.Sprintf("%d %s %d %s", large, name, small, smallName)
}

// sizeOf is a number of bytes: 17 B, 1.5 KiB, 8 MiB.
func sizeOf(n int) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return strconv.FormatFloat(math.Floor(float64(n)/(1<<10)*10)/10, 'f', -1, 64) + " KiB"
	default:
		return strconv.FormatFloat(math.Floor(float64(n)/(1<<20)*10)/10, 'f', -1, 64) + " MiB"
	}
}

// count is a number of things with its thousands apart.
func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// percent is a share of 0 to 1. It says 100 % of nothing less, and 0 % of nothing more.
func percent(share float64) string {
	switch p := share * 100; {
	case p > 99.9 && p < 100:
		return ">99.9 %"
	case p > 0 && p < .1:
		return "<0.1 %"
	case p > 99 && p < 100, p > 0 && p < 1:
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	default:
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	}
}

// plural is a count with its word.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(int64(n)) + " " + many
}

// indented is JSON as people read it. Numbers, and all else, stay as they are written.
func indented(text []byte) string {
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return string(text)
	}
	return strings.TrimSpace(out.String())
}

// functionPath is the page of a function. Its name is one piece of the path, whatever slashes it has.
func functionPath(name string) string { return "/functions/" + url.PathEscape(name) }

// callsPath is the list of calls under filters: names and values in turn.
func callsPath(filters ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(filters); i += 2 {
		values.Set(filters[i], filters[i+1])
	}
	return "/calls?" + values.Encode()
}

func callPath(ref refcache.Ref) string { return "/calls/" + url.PathEscape(string(ref)) }
