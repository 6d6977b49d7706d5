package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/refq/refq/internal/store"
)

// mostError is how much of an error's text is kept, in bytes.
const mostError = 8 << 10

// failure describes a failed attempt and offers a delay for the next one.
func (w *Worker) failure(task store.Record, got returned) store.Failure {
	var permanent *permanentError
	delay, note := w.delay(task, got.err)
	return store.Failure{Error: clip(errorText(got.err), mostError), Cause: got.cause,
		Permanent: errors.As(got.err, &permanent), Delay: delay, Note: note}
}

// errorText leaves out what a deadline's error adds to the cause.
func errorText(err error) string {
	return strings.TrimSuffix(err.Error(), ": "+context.DeadlineExceeded.Error())
}

// clip shortens a text to at most most bytes of valid UTF-8.
func clip(text string, most int) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) > most {
		const mark = "…"
		text = strings.ToValidUTF8(text[:most-len(mark)], "") + mark
	}
	return text
}

// delay is the wait before the next attempt: what the error asks for, what the named function says, or the formula.
func (w *Worker) delay(task store.Record, err error) (delay time.Duration, note string) {
	var after *retryAfterError
	if errors.As(err, &after) {
		return after.delay, ""
	}
	p := task.Policy
	formula := func() time.Duration { return p.Delay(task.RetryCount, rand.Float64()) }
	if p.Backoff == "" {
		return formula(), ""
	}
	custom, ok := w.cfg.Backoffs[p.Backoff]
	if !ok {
		return formula(), fmt.Sprintf("backoff %s is unknown to worker %s: the formula was used", p.Backoff, w.id)
	}
	defer func() {
		if r := recover(); r != nil {
			delay, note = formula(), fmt.Sprintf("backoff %s panicked (%v): the formula was used", p.Backoff, r)
		}
	}()
	return p.Jittered(custom(task.RetryCount, err), rand.Float64()), ""
}
