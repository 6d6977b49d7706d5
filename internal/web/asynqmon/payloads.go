package asynqmon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/time/rate"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/redact"
	"github.com/refq/refq/refcache"
)

const (
	maxShown      = 2 << 10         // bytes of arguments, and of a result: they stand in tables
	maxLine       = 200             // runes of an error
	lookupTimeout = time.Second     // asynqmon waits for one task after the other
	lookupPause   = 5 * time.Second // after Redis did not answer
	lookupCost    = 1 << 10         // bytes besides arguments and result
	lookupBudget  = 16 << 20        // bytes per second, and at once: arguments and results are read whole, and pages poll
)

// payloads writes what asynqmon shows of tasks. asynq has only their ref_ids; the rest is looked up in their records.
//
// asynqmon reads and writes anew what is JSON, and spoils large numbers by it; so this is no JSON, but looks like it.
type payloads struct {
	admin  *admin.Admin
	redact *redact.Rules
	budget *rate.Limiter
}

func newPayloads(a *admin.Admin, r *redact.Rules) *payloads {
	return &payloads{a, r, rate.NewLimiter(lookupBudget, lookupBudget)}
}

// FormatPayload tells of the task whose ref_id the payload is.
func (p *payloads) FormatPayload(_ string, payload []byte) string {
	if len(payload) == 0 {
		return "// nothing is left of this task but its place"
	}
	ref, err := refcache.ParseRef(string(payload))
	if err != nil {
		return "// not a task of refq\n" + p.value(payload)
	}
	task, err := p.lookUp(ref)
	switch {
	case errors.Is(err, refcache.ErrTaskNotFound):
		return fmt.Sprintf("// %s: deleted or expired", ref)
	case errors.Is(err, refcache.ErrUnreadable):
		return fmt.Sprintf("// %s: its record is damaged", ref)
	case err != nil:
		return fmt.Sprintf("// %s: %v", ref, err)
	}
	text := fmt.Sprintf("// %s\n// %s, %d of %d retries\n", ref, task.Status, task.RetryCount, task.MaxRetries)
	if task.LastError != "" {
		text += "// " + line(p.redact.Text(task.LastError)) + "\n"
	}
	text += p.value(task.Args)
	if task.Result != nil {
		text += "\n// result\n" + p.value(task.Result)
	}
	return text
}

// FormatResult shows the result of a task that is not refq's: asynq has none of ours.
func (p *payloads) FormatResult(_ string, result []byte) string {
	return "// result\n" + p.value(result)
}

var errBusy = errors.New("too much to look up at once")

// lookUp reads a task, unless that costs too much.
func (p *payloads) lookUp(ref refcache.Ref) (admin.Task, error) {
	if p.budget.Tokens() <= 0 {
		return admin.Task{}, errBusy
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout) // asynqmon hands none on
	defer cancel()
	task, err := p.admin.Task(ctx, ref)
	cost := lookupCost + len(task.Args) + len(task.Result)
	if err != nil && !errors.Is(err, refcache.ErrTaskNotFound) && !errors.Is(err, refcache.ErrUnreadable) {
		cost = int(lookupPause.Seconds() * lookupBudget)
		err = errors.New("no answer from Redis")
	}
	for ; cost > 0; cost -= lookupBudget { // a limiter takes no more at once
		p.budget.ReserveN(time.Now(), min(cost, lookupBudget))
	}
	return task, err
}

// value is JSON for people, or a text, as far as there is room.
func (p *payloads) value(raw []byte) string {
	var text string
	if hidden := p.redact.JSON(raw); json.Valid(raw) {
		var indented bytes.Buffer
		_ = json.Indent(&indented, hidden, "", "  ") // it is valid
		text = indented.String()
	} else if text = p.redact.Text(string(raw)); !isText(text) {
		return fmt.Sprintf("// %d bytes that are no text", len(raw))
	}
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + fmt.Sprintf("\n// and so on, %d bytes in all", len(raw))
	}
	return text
}

func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && !unicode.IsSpace(r) })
}

// line is the start of a text on one line.
func line(s string) string {
	words := []rune(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " "))
	if len(words) > maxLine {
		return string(words[:maxLine]) + " …"
	}
	return string(words)
}
