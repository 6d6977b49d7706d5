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

// maxError is how much of an error's text is kept, in bytes.
const maxError = 8 << 10

// failure describes a failed attempt and offers a delay for the next one.
func (w *Worker) failure(task store.Record, r result) store.Failure {
	var permanent *permanentError
	delay, note := w.delay(task, r.err)
	return store.Failure{Error: clip(errorText(r.err), maxError), Cause: r.cause,
		Permanent: errors.As(r.err, &permanent), Delay: delay, Note: note}
}

// errorText leaves out what a deadline's error adds to the cause.
func errorText(err error) string {
	return strings.TrimSuffix(err.Error(), ": "+context.DeadlineExceeded.Error())
}

// clip shortens a text to at most limit bytes of valid UTF-8.
func clip(text string, limit int) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) > limit {
		const mark = "…"
		text = strings.ToValidUTF8(text[:limit-len(mark)], "") + mark
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
