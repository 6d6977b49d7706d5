package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/refcache"
)

type response = refcache.Response[json.RawMessage]

// formatFlag declares --format and returns how to read it once flags are parsed.
func formatFlag(flags *pflag.FlagSet) func() (refcache.Format, error) {
	text := string(refcache.Standard)
	flags.Var(setter{text, "format", func(value string) error {
		text = value
		return nil
	}}, "format", "minimal, standard or full")
	return func() (refcache.Format, error) {
		return oneOf("format", text, refcache.Minimal, refcache.Standard, refcache.Full)
	}
}

// answer prints a response on stdout.
func (a *app) answer(r response, format refcache.Format) error {
	if a.asJSON {
		text, err := r.JSON(format)
		if err != nil {
			return err
		}
		return a.printJSON(text)
	}
	p := page{term.Page{Screen: a.stdout}}
	p.response(r, format)
	return p.Print()
}

// printObject prints any object as JSON, on a line of its own.
func (a *app) printObject(v any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // results and errors are shown as they were written
	if err := enc.Encode(v); err != nil {
		return err
	}
	return a.printJSON(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
}

// printJSON prints a JSON text, on a terminal without what would act on it.
func (a *app) printJSON(text []byte) error {
	if a.stdout.Terminal {
		text = term.PrintableJSON(text)
	}
	_, err := a.stdout.Write(append(bytes.Clone(text), '\n'))
	return err
}

// headline is what every answer for people begins with.
func (p *page) headline(s refcache.Status, ref refcache.Ref, more string) {
	p.Line("%s  %s%s", p.Paint(term.StatusColours[s]+";"+term.Bold, fmt.Sprintf("%-10s", s)), ref, p.Paint(term.Faint, more))
}

func (p *page) response(r response, format refcache.Format) {
	p.headline(r.Status, r.RefID, "")
	if format == refcache.Minimal {
		return
	}
	if r.HasValue {
		p.Field("value", p.value(r.Value, r.Refreshing && !r.IsStale))
	}
	if r.Progress != nil && r.Status == refcache.Processing {
		p.Field("progress", progressText(*r.Progress))
	}
	if m := r.Message; m != "" && (r.Status.InFlight() || r.Status == refcache.Failed || r.IsStale) && (r.Progress == nil || m != r.Progress.Message) {
		p.Field("message", term.Printable(m))
	}
	if r.Error != "" {
		p.Field("error", p.errorText(r.Error, errorLines))
	}
	if r.ErrorCode != "" {
		p.Field("code", strings.TrimSpace(r.ErrorCode+"  "+string(term.PrintableJSON(r.ErrorDetails))))
	}
	if r.Status == refcache.Failed {
		p.Field("retries", budget(r.RetryCount, r.MaxRetries, r.CanRetry, r.RefID))
	}
	if r.NextRetryAt != nil && r.Status == refcache.Retrying {
		p.Field("next retry", term.Ahead(*r.NextRetryAt))
	}
	if format == refcache.Full {
		p.fullResponse(r)
	}
}

func (p *page) fullResponse(r response) {
	p.Field("function", r.Func+", queue "+r.Queue)
	p.when("created", &r.CreatedAt)
	p.when("started", r.StartedAt)
	p.when("ended", r.CompletedAt)
	p.when("kept until", r.ExpiresAt)
	if r.ETA != nil {
		p.Field("time left", "about "+term.Short(*r.ETA))
	}
	if r.Age != nil {
		p.Field("age", strings.TrimSpace(term.Short(*r.Age)+"  "+string(r.Cache)))
	}
	p.Field("attempt", fmt.Sprintf("%d, %s of %d, %d lost", r.Attempt, term.Plural(r.RetryCount, "retry", "retries"), r.MaxRetries, r.LostCount))
}

// value is a result for people: on several lines if it is long, on a terminal cut if it is very long.
func (p *page) value(raw json.RawMessage, old bool) string {
	const line, most = 90, 4 << 10
	text := string(term.PrintableJSON(raw))
	if len(raw) > line && len(raw) <= most {
		var out bytes.Buffer
		if json.Indent(&out, raw, "", "  ") == nil {
			text = string(term.PrintableJSON(out.Bytes()))
		}
	}
	if p.Screen.Terminal && len(raw) > most {
		text = fmt.Sprintf("%s… (%d bytes; refq result prints all)", strings.ToValidUTF8(text[:most], ""), len(raw))
	}
	if old {
		text += "  (the old one: it runs again)"
	}
	return text
}

// progressText is "3/10 (30 %) page 3".
func progressText(g refcache.Progress) string {
	text := fmt.Sprint(g.Current)
	if g.Total > 0 {
		text += fmt.Sprintf("/%d", g.Total)
	}
	if g.Percentage != nil {
		text += fmt.Sprintf(" (%.0f %%)", *g.Percentage)
	}
	return strings.TrimSpace(text + " " + term.Printable(g.Message))
}

// budget tells what of the retries is left, and how to go on.
func budget(used, most int, canRetry bool, ref refcache.Ref) string {
	text := fmt.Sprintf("%d of %d used", used, most)
	if canRetry {
		return text + ": refq retry " + string(ref)
	}
	return text + ": refq retry --fresh " + string(ref)
}

// when shows a time, if it is known, and how far it is from now.
func (p *page) when(label string, t *time.Time) {
	if t == nil || t.IsZero() {
		return
	}
	distance := term.Ago(*t)
	if time.Until(*t) > time.Second {
		distance = term.Ahead(*t)
	}
	p.Field(label, t.Local().Format("2006-01-02 15:04:05")+" ("+distance+")")
}
