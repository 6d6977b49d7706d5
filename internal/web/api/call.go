package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/tracing"
	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/internal/web/server"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// callRequest is a call as a client writes it.
type callRequest struct {
	Func    string          `json:"func"`
	Args    json.RawMessage `json:"args"`    // absent: {}
	Wait    setting         `json:"wait"`    // absent: the function's async_timeout
	Options callOptions     `json:"options"` //
}

// callOptions are keys of config.yaml, for this call, and what to do when it was made before.
type callOptions struct {
	MaxRetries         setting `json:"max_retries"`
	RetryDelay         setting `json:"retry_delay"`
	RetryBackoffFactor setting `json:"retry_backoff_factor"`
	Timeout            setting `json:"timeout"`
	TTL                setting `json:"ttl"`
	RetryFailed        bool    `json:"retry_failed"`
	Refresh            bool    `json:"refresh"`
	MaxAge             setting `json:"max_age"`
	OnlyIfCached       bool    `json:"only_if_cached"`
}

// setting is a value as it may stand in config.yaml: a JSON string or number, kept as text. Empty: absent.
type setting string

// UnmarshalJSON takes a string, a number, or null for absent.
func (s *setting) UnmarshalJSON(text []byte) error {
	switch {
	case text[0] == '"':
		var plain string
		err := json.Unmarshal(text, &plain)
		*s = setting(plain)
		if err == nil && plain == "" {
			err = errors.New("an empty text is no value")
		}
		return err
	case text[0] == '-' || text[0] >= '0' && text[0] <= '9':
		*s = setting(text)
	case string(text) != "null":
		return errors.New("must be a text or a number")
	}
	return nil
}

// plan is a call that can be made.
type plan struct {
	function config.Func // its AsyncTimeout is how long to wait
	args     json.RawMessage
	options  []producer.CallOption
	refresh  bool // among options
}

// plan reads a call. Without a wait of its own it waits as long as wait says; if that is negative, as long as its
// function does.
func (a *API) plan(text []byte, wait time.Duration) (plan, error) {
	var c callRequest
	if err := decode(text, &c); err != nil {
		return plan{}, badRequest(fmt.Errorf("the call is not as it should be, {\"func\":…, \"args\":…, \"wait\":…, \"options\":…}: %w", err))
	}
	fn, err := a.function(c)
	if err != nil {
		return plan{}, err
	}
	f := fn.Func
	if c.Wait != "" {
		if wait, err = parseWait(string(c.Wait)); err != nil {
			return plan{}, err
		}
	}
	switch {
	case wait == 0:
		f.AsyncTimeout = -1
	case wait > 0:
		f.AsyncTimeout = wait
	default:
		policy, _ := f.Policy() // checked by function
		f.AsyncTimeout = min(policy.AsyncTimeout, longestWait)
		if policy.AsyncTimeout == 0 {
			f.AsyncTimeout = -1
		}
	}
	if len(c.Args) == 0 {
		c.Args = json.RawMessage("{}")
	}
	if len(c.Args) <= a.cfg.MaxArgs { // else the producer says so
		if c.Args, err = codec.Written(c.Args, fn.Args, f.KeyFields); err != nil {
			return plan{}, unprocessable("invalid-arguments", "Arguments that mean nothing", err)
		}
		if err := fn.CheckTags(c.Args); err != nil {
			return plan{}, unprocessable("invalid-arguments", "Arguments whose tags cannot be", err)
		}
	}
	options, err := c.Options.call()
	return plan{f, c.Args, options, c.Options.Refresh}, err
}

// function is the declared function under the policy of the call.
func (a *API) function(c callRequest) (config.Function, error) {
	fn, err := a.cfg.Function(c.Func)
	if err != nil {
		return fn, unprocessable("unknown-function", "Unknown function", err)
	}
	o := c.Options
	for _, s := range []struct {
		key   string
		value setting
	}{
		{"max_retries", o.MaxRetries}, {"retry_delay", o.RetryDelay}, {"retry_backoff_factor", o.RetryBackoffFactor},
		{"timeout", o.Timeout}, {"ttl", o.TTL},
	} {
		if s.value == "" {
			continue
		}
		if err := config.SetPolicy(&fn.Func, s.key, string(s.value)); err != nil {
			return fn, unprocessable("invalid-options", "Options out of bounds", fmt.Errorf("options.%w", err))
		}
	}
	if _, err := fn.Func.Policy(); err != nil {
		return fn, unprocessable("invalid-options", "Options out of bounds", err)
	}
	return fn, nil
}

// call is what the options say of an answer that is there.
func (o callOptions) call() (options []producer.CallOption, err error) {
	if o.OnlyIfCached && (o.Refresh || o.RetryFailed) {
		return nil, unprocessable("invalid-options", "Options out of bounds",
			errors.New("options.only_if_cached runs nothing, refresh and retry_failed do: leave one out"))
	}
	if o.MaxAge != "" {
		d, err := config.ParseDuration(string(o.MaxAge))
		if err == nil && d == 0 {
			err = errors.New("is 0, must be more; refresh takes no result that is there")
		}
		if err != nil {
			return nil, unprocessable("invalid-options", "Options out of bounds", fmt.Errorf("options.max_age: %w", err))
		}
		options = append(options, producer.MaxAge(d))
	}
	if o.OnlyIfCached {
		options = append(options, producer.OnlyIfCached())
	}
	if o.RetryFailed {
		options = append(options, producer.RetryFailed())
	}
	if o.Refresh {
		options = append(options, producer.Refresh())
	}
	return options, nil
}

type response = refcache.Response[json.RawMessage]

// call answers POST /calls.
func (a *API) call(w http.ResponseWriter, r *http.Request) error {
	values, err := query(r, "format")
	if err != nil {
		return err
	}
	format, err := format(values)
	if err != nil {
		return err
	}
	text, err := a.body(w, r)
	if err != nil {
		return err
	}
	plan, err := a.plan(text, -1)
	if err != nil {
		return err
	}
	ctx, cancel := server.Linger(w, r)
	defer cancel()
	res, err := a.make(tracing.Incoming(ctx, r.Header), plan)
	if err != nil {
		return err
	}
	w.Header().Set("Location", location(res.RefID))
	w.Header().Set("Cache-Status", cacheStatus(res, plan))
	return a.answer(w, res, format)
}

// body reads the whole of a request.
func (a *API) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	most := int64(a.cfg.MaxArgs) + maxFraming
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		return nil, fmt.Errorf("%w: the request has more than %d bytes, which max_args of %d allows", refcache.ErrArgsTooLarge, most, a.cfg.MaxArgs)
	}
	if err != nil {
		return nil, badRequest(fmt.Errorf("read the request: %w", err))
	}
	return text, nil
}

// make makes a call, waits as long as it says, and tells the log. A call that is on record when ctx ends is an answer,
// not an error.
func (a *API) make(ctx context.Context, c plan) (response, error) {
	res, err := producer.Call(ctx, a.producer, c.function, c.args, c.options...)
	_, ended := errors.AsType[*refcache.TaskError](err)
	switch {
	case errors.Is(err, refcache.ErrNotQueued):
		a.notQueued(ctx, err)
		err = nil
	case ended, res.Status != "" && ctx.Err() != nil:
		err = nil
	}
	access.Audit(ctx, a.log, access.Change{What: "call", Ref: res.RefID, To: string(res.Status), Err: err})
	return res, err
}

// notQueued tells the log of what is accepted, and runs a little later.
func (a *API) notQueued(ctx context.Context, err error) {
	a.log.WarnContext(ctx, "a worker's sweep will find this call", "err", err)
}

func location(ref refcache.Ref) string { return Base + "/calls/" + string(ref) }

// answer tells how a call stands: 200 when it has ended, 202 and when to look again while it is in flight.
func (a *API) answer(w http.ResponseWriter, res response, format refcache.Format) error {
	text, err := a.cfg.Redact.Response(res).JSON(format)
	if err != nil {
		return err
	}
	if res.Age != nil {
		w.Header().Set("Age", fmt.Sprint(int64(res.Age.Seconds())))
	}
	status := http.StatusOK
	if res.Status.InFlight() {
		status = http.StatusAccepted
		w.Header().Set("Retry-After", retryAfter(res, time.Now()))
	}
	write(w, status, "application/json", append(text, '\n'))
	return nil
}

// cacheStatus tells how a call came to its answer, as RFC 9211 says it. ttl is how many seconds the result is still
// fresh, for those who call as this plan does; negative if it is so no longer.
func cacheStatus(res response, c plan) string {
	const cache = "refq"
	switch {
	case res.Cache == refcache.CacheJoined:
		return cache + "; fwd=miss; collapsed"
	case res.Cache == refcache.CacheMiss && c.refresh:
		return cache + "; fwd=request"
	case res.Cache == refcache.CacheMiss:
		return cache + "; fwd=miss"
	}
	text := cache + "; hit"
	if left, known := freshFor(res, c); known {
		text += fmt.Sprintf("; ttl=%d", int64(math.Floor(left.Seconds())))
	}
	if res.StaleReason != "" {
		text += "; detail=" + string(res.StaleReason)
	}
	return text
}

// freshFor is how long a result still answers as it is. No clock but Redis's tells it.
func freshFor(res response, c plan) (left time.Duration, known bool) {
	if !res.HasValue || res.Age == nil {
		return 0, false
	}
	if res.StaleReason == refcache.StaleTag {
		return 0, true
	}
	old := res.StaleReason == refcache.StaleError || res.StaleReason == refcache.StaleCancelled
	if known = !old && res.StartedAt != nil && res.ExpiresAt != nil; known { // else StartedAt is that of another attempt
		left = res.ExpiresAt.Sub(res.StartedAt.Add(*res.Age))
	}
	if policy, err := c.function.Policy(); err == nil && policy.Fresh > 0 {
		fresh := policy.Fresh - *res.Age
		if !known || fresh < left {
			left, known = fresh, true
		}
	}
	return left, known
}

// lineLook is how often it makes sense to look at a call that waits for its turn.
const lineLook = 5 * time.Second

// retryAfter is how many seconds it makes sense to wait before one looks again.
func retryAfter(res response, now time.Time) string {
	const most = 60 * time.Second
	d := time.Second
	switch {
	case res.Status == refcache.Retrying && res.NextRetryAt != nil:
		d = res.NextRetryAt.Sub(now)
	case res.Status == refcache.Waiting: // it has yet to be let in
		d = lineLook
	case res.ETA != nil:
		d = *res.ETA
	}
	d = min(max(d, time.Second), most)
	return fmt.Sprint(int64((d + time.Second - 1) / time.Second))
}

// write sends an answer. Who is not there to read it cannot be told.
func write(w http.ResponseWriter, status int, kind string, text []byte) {
	server.Allow(w, writeTimeout)
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// encode is JSON as the command prints it: without the escapes for HTML.
func encode(v any) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return text.Bytes(), err
}
