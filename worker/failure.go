package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// maxError is how much of an error's text is kept, in bytes.
const maxError = 8 << 10

// failure describes a failed attempt and offers a delay for the next one.
func (w *Worker) failure(task store.Record, r result) store.Failure {
	var permanent *permanentError
	delay, note := w.delay(task, r.err)
	failure := store.Failure{Error: errorText(r.err), Cause: r.cause, Permanent: errors.As(r.err, &permanent), Delay: delay, Note: note,
		Code: r.told.code, Details: r.told.details}
	remark := r.told.leftOut
	failure.Error = clip(failure.Error, maxError-len(remark)) + remark
	return failure
}

// told is what an error tells programs.
type told struct {
	code    string
	details []byte
	leftOut string // what of it is bad or too long, as a remark behind the error
}

// tellOf reads it. What it calls is the function's own, and may panic.
func tellOf(err error) (t told) {
	var leftOut []string
	t.code, leftOut = codeOf(err)
	if fail, ok := errors.AsType[*failError](err); ok {
		details, why := fail.json()
		t.details = details
		leftOut = append(leftOut, why...)
	}
	if len(leftOut) > 0 {
		t.leftOut = " (" + strings.Join(leftOut, "; ") + ")"
	}
	return t
}

var codeForm = regexp.MustCompile(`^[a-z0-9_.-]{1,64}$`)

// codeOf is the code of an error, or why it is left out.
func codeOf(err error) (code string, leftOut []string) {
	code = refcache.CodeOf(err)
	if code != "" && !codeForm.MatchString(code) {
		return "", []string{fmt.Sprintf("its code %.80q is left out: use at most 64 of a-z 0-9 _ . and -", code)}
	}
	return code, nil
}

// maxDetails is the longest details in bytes.
const maxDetails = 4 << 10

// json are the details, or why they are left out.
func (e *failError) json() (details []byte, leftOut []string) {
	if e.details == nil {
		return nil, nil
	}
	details, err := codec.Encode(e.details)
	switch {
	case err != nil:
		return nil, []string{"its details are left out: " + clip(err.Error(), 200)}
	case len(details) > maxDetails:
		return nil, []string{fmt.Sprintf("its details are left out: %d bytes, more than %d", len(details), maxDetails)}
	}
	return details, nil
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

// closedFor is how long an error says that what the call needs is unavailable; 0 if it does not, or if no wait would mend it.
func closedFor(err error) time.Duration {
	unavailable, ok := errors.AsType[*unavailableError](err)
	if _, permanent := errors.AsType[*permanentError](err); !ok || permanent {
		return 0
	}
	return unavailable.closed
}

// delay is the wait before the next attempt: what the error asks for, what the named function says, or the formula.
func (w *Worker) delay(task store.Record, err error) (delay time.Duration, note string) {
	if closed := closedFor(err); closed > 0 {
		return closed, "unavailable, but the call has no gate: waiting for that costs a retry"
	}
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
