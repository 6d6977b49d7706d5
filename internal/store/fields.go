package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/refq/refq/refcache"
)

// A record is a hash. What every task has, and most transitions change, is packed into two of its fields: state and policy,
// whose words are parted by commas. An empty word stands for what is not there, or has its default. All else has a field of
// its own, if it is there.
var (
	// fields are read together, in this order, by whoever reads a record.
	fields = []string{"state", "policy", "last_error", "note", "progress"}

	// privateFields are for the scripts, and for who asks for arguments or result.
	privateFields = []string{"args", "trace", "result", "result_encoding", "result_from", "turn"}

	// stateWords are changed by transitions. token is that of the attempt that runs, or was the last to end; waiters are all
	// that follows.
	stateWords = packed{
		{"v", whole}, {"status", aStatus}, {"cycle", whole}, {"delivery", whole}, {"attempt", whole},
		{"created_at", whole}, {"updated_at", whole}, {"started_at", whole}, {"completed_at", whole}, {"next_retry_at", whole},
		{"retry_count", whole}, {"lost_count", whole}, {"hist_n", whole}, {"event_n", whole},
		{"token", free}, {"req", free}, {"worker", free}, {"waiters", free},
	}

	// policyWords stay for a life: who makes the call, and how its submitter wants it to be run.
	policyWords = packed{
		{"func", required}, {"version", whole}, {"ns", free}, {"max_retries", whole}, {"ttl", whole}, {"failure_ttl", whole},
		{"retry_delay", whole}, {"retry_max_delay", whole}, {"timeout", whole},
		{"retry_backoff_factor", decimal}, {"retry_jitter", decimal}, {"backoff", free},
	}

	// resultFromWords tell of a result while it is run again, and after that has failed: when the attempt began that made
	// it, when it expires, and how the last refresh failed, empty while one runs. They count only beside a result.
	resultFromWords = packed{{"as_of", whole}, {"expires_at", whole}, {"refresh", free}}

	// neededFields are those without a default, by status.
	neededFields = map[refcache.Status][]string{
		refcache.Waiting:    {"args", "created_at"},
		refcache.Pending:    {"args", "created_at"},
		refcache.Processing: {"args", "created_at", "attempt", "started_at", "token", "worker"},
		refcache.Retrying:   {"args", "created_at", "next_retry_at"},
		refcache.Complete:   {"args", "created_at", "completed_at", "result"},
		refcache.Failed:     {"args", "created_at", "completed_at"},
		refcache.Cancelled:  {"args", "created_at", "completed_at"},
	}
)

// PackedWords returns the words of the packed fields, by field.
func PackedWords() map[string][]string {
	return map[string][]string{"state": stateWords.names(), "policy": policyWords.names(), "result_from": resultFromWords.names()}
}

// packed are the words of a field, in their order.
type packed []packedWord

type packedWord struct {
	name string
	kind kind
}

// kind is what a word may be.
type kind byte

const (
	whole    kind = 'w' // number, of at most maxDigits
	decimal  kind = 'd' // number that may have a fraction
	aStatus  kind = 's'
	required kind = 'n' // text that must not be empty
	free     kind = 't' // text
)

func (p packed) names() []string {
	names := make([]string, len(p))
	for i, w := range p {
		names[i] = w.name
	}
	return names
}

func (p packed) kinds() string {
	var b strings.Builder
	for _, w := range p {
		b.WriteByte(byte(w.kind))
	}
	return b.String()
}

// place is where a word stands, -1 if it is none of these.
func (p packed) place(name string) int {
	for i, w := range p {
		if w.name == name {
			return i
		}
	}
	return -1
}

// Lua patterns. The last word is the rest.
var (
	// stateForm is that of a state, with every word captured.
	stateForm = stateWords.pattern(func(w packedWord) string {
		if w.kind == whole {
			return "(%d*)"
		}
		return "([^,]*)"
	})
	// wordsForm is stateForm for a state that may be damaged.
	wordsForm = stateWords.pattern(func(packedWord) string { return "([^,]*)" })
	// policyForm captures what the scripts use, and the numbers whose form it does not tell.
	policyForm = policyWords.pattern(func(w packedWord) string {
		switch {
		case w.name == "max_retries" || w.name == "ttl" || w.name == "failure_ttl":
			return "(%d*)"
		case w.kind == whole:
			return "%d*"
		case w.kind == decimal:
			return "(%d*%.?%d*)"
		case w.kind == required:
			return "[^,]+"
		}
		return "[^,]*"
	})
)

// resultFromForm is that of the field result_from, with every word captured.
const resultFromForm = "^(%d+),(%d+),([^,]*)$"

// turnForm is that of the field turn: gate, key, share, ahead in ms, and when the call was made.
const turnForm = "^([^/]*)/([^/]*)/([^/]*)/(%d+)/(%d+)$"

// numbersForm is that of a gate's numbers: see [GateNumbers]. Of those that an operator has set a word may be empty.
const numbersForm = "^(%-?%d*),(%-?%d*),(%d*),(%d*),(%d*)$"

// termsForm is that of what a call of a function with tags asks for: its terms, how long in ms a result is kept, and the
// stamps that count.
const termsForm = "^([^#]*)#(%d+),(.*)$"

// Forms of states that the fast paths know, with what they use captured.
var (
	completeForm = stateIn(refcache.Complete, map[string]string{"started_at": "(%d*)", "req": "([^,]*)"})
	pendingForm  = stateIn(refcache.Pending, map[string]string{"v": gatedV, "cycle": "(%d*)", "delivery": "(%d*)", "attempt": "(%d*)",
		"created_at": "(%d+)", "updated_at": "(%d*)", "started_at": "", "completed_at": "", "next_retry_at": "", "retry_count": "", "lost_count": "", "hist_n": "",
		"event_n": "", "token": "([^,]*)", "req": "([^,]*)", "waiters": "(.*)"})
	processingForm = stateIn(refcache.Processing, map[string]string{"v": gatedV, "cycle": "(%d*)", "delivery": "(%d*)", "attempt": "(%d+)",
		"created_at": "(%d+)", "updated_at": "(%d*)", "started_at": "(%d+)", "completed_at": "", "next_retry_at": "", "retry_count": "(%d*", "event_n": "%d*)", "token": "([^,]+)",
		"req": "([^,]*)", "worker": "([^,]+)", "waiters": "(.*)"})
)

// gatedV captures the version of a record with a turn, or that of a plain one: none.
const gatedV = "(3?)"

// stateIn is the form of a state with a status, with some words as they are given.
func stateIn(status refcache.Status, given map[string]string) string {
	words := make([]string, len(stateWords))
	for i, w := range stateWords {
		form, ok := given[w.name]
		switch {
		case ok:
			words[i] = form
		case w.name == "v":
		case w.name == "status":
			words[i] = string(status)
		case w.kind == whole:
			words[i] = "%d*"
		default:
			words[i] = "[^,]*"
		}
	}
	return "^" + strings.Join(words, ",") + "$"
}

func (p packed) pattern(of func(packedWord) string) string {
	words := make([]string, len(p))
	for i, w := range p {
		words[i] = of(w)
	}
	words[len(p)-1] = "(.*)"
	return "^" + strings.Join(words, ",") + "$"
}

// recordWords are the words of a record as it was read, in their order: those of state and of policy, the other fields that are
// read, and Redis's time.
var recordWords = slices.Concat(stateWords.names(), policyWords.names(), fields[2:], []string{"now"})

// wordsOfRecord is how many these are, as a constant: a record is read into an array.
const wordsOfRecord = 34

// Positions in a record as it was read.
var (
	atV             = at("v")
	atStatus        = at("status")
	atCycle         = at("cycle")
	atDelivery      = at("delivery")
	atAttempt       = at("attempt")
	atCreatedAt     = at("created_at")
	atUpdatedAt     = at("updated_at")
	atStartedAt     = at("started_at")
	atCompletedAt   = at("completed_at")
	atNextRetryAt   = at("next_retry_at")
	atRetryCount    = at("retry_count")
	atLostCount     = at("lost_count")
	atHistN         = at("hist_n")
	atEventN        = at("event_n")
	atWorker        = at("worker")
	atFunc          = at("func")
	atVersion       = at("version")
	atNS            = at("ns")
	atMaxRetries    = at("max_retries")
	atTTL           = at("ttl")
	atFailureTTL    = at("failure_ttl")
	atRetryDelay    = at("retry_delay")
	atRetryMaxDelay = at("retry_max_delay")
	atTimeout       = at("timeout")
	atBackoffFactor = at("retry_backoff_factor")
	atJitter        = at("retry_jitter")
	atBackoff       = at("backoff")
	atLastError     = at("last_error")
	atNote          = at("note")
	atProgress      = at("progress")
	atNow           = at("now")
)

// at is the position of a word in a record as it was read. It panics when there is no such word, or another number of words than
// wordsOfRecord.
func at(name string) int {
	i := slices.Index(recordWords, name)
	if i < 0 || len(recordWords) != wordsOfRecord {
		panic(fmt.Sprintf("no word of a record: %s; there are %d words", name, len(recordWords)))
	}
	return i
}

// Places in what Redis answers of a record. The last two may be absent.
const (
	inState = iota
	inPolicy
	inLastError
	inNote
	inProgress
	inNow
	inRecord
	inResultFrom = iota - 1
	inLastAttempt
	inWholeRecord
)

// RecordVersion is the newest form of record that this code reads. Records of version 1 do not name it.
const RecordVersion = 3

// neededVersions are the versions that a reader must know for fields which an older one must not overlook.
var neededVersions = map[string]int{"result_from": 2, "turn": 3}

// maxDigits is what Lua's numbers hold exactly: the times of thirty thousand years.
const maxDigits = 15
