package queue

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/internal/store"
)

// operation is what asynq does by one of its scripts.
type operation string

const (
	enqueues operation = "enqueue" // puts a doorbell into the list of those that wait
	dequeues operation = "dequeue" // takes one out, which is active then
	done     operation = "done"    // acknowledges an active one, which is gone then
	retries  operation = "retry"   // puts an active one off
	archives operation = "archive" // keeps an active one for people to look at
	requeues operation = "requeue" // puts an active one back into the list
	forwards operation = "forward" // puts those that are due into the list
)

// recogniser is how a script of asynq v0.26 is known: by its keys and the kinds of its arguments, since its text is asynq's own.
type recogniser struct {
	operation operation
	// keys are what the keys are behind "asynq:{queue}:". ID is the first argument that is a text, DAY the day in UTC, and a
	// bar stands between alternatives.
	keys []string
	// args has a letter for each argument: b for bytes, s for a text, i for an int64.
	args string
	// answers tells that the script takes a doorbell out of the active ones: it answers for one that was dequeued.
	answers bool
}

var recognisers = []recogniser{
	{enqueues, []string{"t:ID", "pending"}, "bsi", false},
	{dequeues, []string{"pending", "paused", "active", "lease"}, "is", false},
	{done, []string{"active", "lease", "t:ID", "processed:DAY", "processed"}, "sii", true},
	{retries, []string{"t:ID", "active", "lease", "retry", "processed:DAY", "failed:DAY", "processed", "failed"}, "sb", true},
	{archives, []string{"t:ID", "active", "lease", "archived", "processed:DAY", "failed:DAY", "processed", "failed", "t:"}, "sb", true},
	{requeues, []string{"active", "lease", "pending", "t:ID"}, "s", true},
	{forwards, []string{"retry|scheduled", "pending"}, "isis", false},
}

// sent is a script as asynq sends it, once it is recognised.
type sent struct {
	recogniser
	id   string // of the doorbell that it is about; empty when it is about none
	keys []string
	args []any
	at   time.Time
}

// recognise finds out what asynq does by a script with these keys and arguments. False: it is none that is known.
func recognise(queue string, keys []string, args []any) (sent, bool) {
	id, now := firstText(args), time.Now()
	for _, r := range recognisers {
		if s := (sent{r, id, keys, args, now}); s.fits(queue) {
			return s, true
		}
	}
	return sent{}, false
}

// fits reports whether keys and arguments are as the recogniser has them. asynq may send more arguments than are listed. It runs
// with every script of asynq's, and makes no garbage.
func (s *sent) fits(queue string) bool {
	if len(s.keys) != len(s.recogniser.keys) || len(s.args) < len(s.recogniser.args) {
		return false
	}
	for i, kind := range s.recogniser.args {
		if kindOf(s.args[i]) != kind {
			return false
		}
	}
	for i, form := range s.recogniser.keys {
		if !s.isKey(queue, form, s.keys[i]) {
			return false
		}
	}
	return true
}

// isKey reports whether a key has a form.
func (s *sent) isKey(queue, form, key string) bool {
	key, ours := strings.CutPrefix(key, "asynq:{")
	if ours {
		key, ours = strings.CutPrefix(key, queue)
	}
	if ours {
		key, ours = strings.CutPrefix(key, "}:")
	}
	for ours {
		one, others, more := strings.Cut(form, "|")
		if s.hasForm(one, key) {
			return true
		}
		form, ours = others, more
	}
	return false
}

// hasForm is isKey for one alternative, and a key without its prefix.
func (s *sent) hasForm(form, key string) bool {
	if before, found := strings.CutSuffix(form, "ID"); found {
		id, ok := strings.CutPrefix(key, before)
		return ok && id == s.id
	}
	if before, found := strings.CutSuffix(form, "DAY"); found {
		day, ok := strings.CutPrefix(key, before)
		return ok && (isDay(day, s.at) || isDay(day, s.at.Add(-time.Minute))) // asynq may have named it just before it ended
	}
	return form == key
}

// isDay reports whether a text is a day as asynq names those that its statistics are of.
func isDay(text string, at time.Time) bool {
	var buffer [len(time.DateOnly)]byte
	return text == string(at.UTC().AppendFormat(buffer[:0], time.DateOnly))
}

// resembles reports whether a script that is not recognised has all keys of one that would be, and others: another version of
// asynq's may do the same in another way.
func resembles(queue string, keys []string, args []any) bool {
	return slices.ContainsFunc(recognisers, func(r recogniser) bool {
		s := sent{r, firstText(args), keys, args, time.Now()}
		for _, form := range r.keys {
			if !slices.ContainsFunc(keys, func(key string) bool { return s.isKey(queue, form, key) }) {
				return false
			}
		}
		return true
	})
}

func keyPrefix(queue string) string { return "asynq:{" + queue + "}:" }

func kindOf(arg any) rune {
	switch arg.(type) {
	case []byte:
		return 'b'
	case string:
		return 's'
	case int64:
		return 'i'
	}
	return '?'
}

func firstText(args []any) string {
	for _, arg := range args {
		if text, ok := arg.(string); ok {
			return text
		}
	}
	return ""
}

//go:embed dequeue.lua
var dequeueText string

// learned is a script of asynq's with its text. What is sent in asynq's stead is made from it.
type learned struct {
	text string // the one that dequeues also tells the ref_id, and asynq's id
	keys []string
	args []any
	at   time.Time // when asynq sent these keys and arguments: its times count from here
}

// piggyback is the script with other keys and arguments.
func (l learned) piggyback(keys []string, args []any) script.Piggyback {
	return script.Piggyback{Text: l.text, Use: script.Use{Keys: keys, Args: args}}
}

// later is a time of asynq's, in Unix seconds, as asynq would send it now.
func (l learned) later(seconds any) int64 {
	return seconds.(int64) + int64(time.Since(l.at)/time.Second)
}

// lessons are the scripts that one of asynq's clients or servers has sent with their text. They may be used concurrently.
type lessons struct {
	queue string
	log   *slog.Logger

	mu      sync.Mutex
	scripts map[operation]learned
	warned  bool
}

func newLessons(queue string, log *slog.Logger) *lessons {
	return &lessons{queue: queue, log: log, scripts: map[operation]learned{}}
}

// note recognises a script and learns it. text is empty when asynq has sent no more than its hash; what is learned is false as
// long as asynq has never sent the text.
func (l *lessons) note(text string, keys []string, args []any) (s sent, recognised, isLearned bool) {
	s, recognised = recognise(l.queue, keys, args)
	if !recognised {
		return s, false, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	script, isLearned := l.scripts[s.operation]
	if text != "" {
		script.text, isLearned = text, true
		if s.operation == dequeues {
			script.text = strings.Replace(dequeueText, "DEQUEUE", text, 1)
		}
	}
	if isLearned {
		script.keys, script.args, script.at = keys, args, s.at
		l.scripts[s.operation] = script
	}
	return s, true, isLearned
}

// of returns the script of an operation. False: asynq has not sent it yet.
func (l *lessons) of(o operation) (learned, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	script, known := l.scripts[o]
	return script, known
}

// dequeue returns asynq's script that dequeues, as asynq would send it now, which also tells ref_id and id. It must be known. It takes
// from a list other than asynq's unless list is empty.
func (l *lessons) dequeue(list string) script.Piggyback {
	script, _ := l.of(dequeues)
	keys, args := script.keys, slices.Clone(script.args)
	if list != "" {
		keys = slices.Clone(keys)
		keys[0] = list
	}
	args[0] = script.later(args[0]) // when the lease ends
	return script.piggyback(keys, args)
}

// acknowledge returns asynq's script that acknowledges a doorbell, as asynq would send it now; nil when it is not known.
func (l *lessons) acknowledge(id string) *script.Piggyback {
	script, known := l.of(done)
	if !known {
		return nil
	}
	keys, args := slices.Clone(script.keys), slices.Clone(script.args)
	keys[doneID] = keyPrefix(l.queue) + "t:" + id
	if day := len(keys[doneDay]) - len(time.DateOnly); !isDay(keys[doneDay][day:], time.Now()) {
		keys[doneDay] = keys[doneDay][:day] + time.Now().UTC().Format(time.DateOnly)
	}
	args[0], args[1] = id, script.later(args[1]) // when the day's statistics end
	acknowledgement := script.piggyback(keys, args)
	return &acknowledgement
}

// Where the script that acknowledges has what changes from doorbell to doorbell, and from day to day.
const (
	doneID  = 2
	doneDay = 3
)

// warn says once that asynq goes its own way.
func (l *lessons) warn(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.warned {
		l.warned = true
		l.log.Warn("asynq "+what, "queue", l.queue)
	}
}

// acknowledged are the doorbells that were acknowledged in the step that ended their task. asynq's own acknowledgement follows,
// and is answered here.
type acknowledged struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (a *acknowledged) add(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ids == nil {
		a.ids = map[string]bool{}
	}
	a.ids[id] = true
}

// remove reports whether a doorbell was among them.
func (a *acknowledged) remove(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.ids[id]
	delete(a.ids, id)
	return was
}

// errUnrecognised tells that asynq enqueues in a way that is not known.
var errUnrecognised = errors.New("asynq does not enqueue by the script that is known")

// recorder is the Redis client of an asynq client that enqueues nothing: it notes what asynq would have Redis run, for others to
// send. asynq has no way to enqueue more than one doorbell at once, nor together with something else.
type recorder struct {
	redis.UniversalClient
	client *asynq.Client

	mu           sync.Mutex // one record at a time
	queue        string
	script       enqueueScript
	recorded     []script.Use
	unrecognised bool // asynq enqueues by another script
}

// enqueueScript is the script by which asynq enqueues.
type enqueueScript struct {
	text      string
	script    *redis.Script
	withAWake string // the text of one that also wakes an idle worker
}

func newEnqueueScript(text string) enqueueScript {
	return enqueueScript{text, redis.NewScript(text), strings.NewReplacer("ENQUEUE", text, "WAKE", wakeText).Replace(enqueueText)}
}

func newRecorder(rdb redis.UniversalClient) *recorder {
	r := &recorder{UniversalClient: rdb}
	r.client = asynq.NewClientFromRedisClient(r)
	return r
}

// record has asynq enqueue doorbells for the tasks at some positions, which are all of one queue. It returns asynq's script and
// its uses, one for each doorbell. After errUnrecognised asynq is to be asked for each.
func (r *recorder) record(ctx context.Context, tasks []store.Record, positions []int) (enqueueScript, []script.Use, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recorded, r.unrecognised = make([]script.Use, 0, len(positions)), false
	for _, i := range positions {
		r.queue = tasks[i].Ref.Queue()
		switch err := enqueue(ctx, r.client, tasks[i]); {
		case r.unrecognised:
			return enqueueScript{}, nil, errUnrecognised
		case err != nil:
			return enqueueScript{}, nil, err
		}
	}
	return r.script, r.recorded, nil
}

// EvalSha refers asynq to Eval, which gets the script's text.
func (r *recorder) EvalSha(ctx context.Context, _ string, _ []string, _ ...any) *redis.Cmd {
	return redis.NewCmdResult(nil, redis.ErrNoScript)
}

// Eval notes a use of a script, and answers as the script does when it enqueues. Only record leads here, and holds mu.
func (r *recorder) Eval(_ context.Context, text string, keys []string, args ...any) *redis.Cmd {
	if s, ok := recognise(r.queue, keys, args); !ok || s.operation != enqueues {
		r.unrecognised = true
		return redis.NewCmdResult(nil, errUnrecognised)
	}
	if text != r.script.text {
		r.script = newEnqueueScript(text)
	}
	r.recorded = append(r.recorded, script.Use{Keys: keys, Args: args})
	return redis.NewCmdResult(int64(1), nil)
}
