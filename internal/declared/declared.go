// Package declared is what workers tell of the functions that they handle: a text per queue, which the worker's beats keep
// in Redis. It writes the texts, and reads and merges those of living workers.
package declared

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Function is what a worker tells of a function that it handles in a queue.
type Function struct {
	Policy refcache.Policy
	// Members are the top-level names that the arguments may have: whether Go always writes one. Nil if TakesAll.
	Members map[string]bool
	// TakesAll: the arguments may have any members, or are no object.
	TakesAll bool
	// AllowUnknown: other members are passed over.
	AllowUnknown bool
	// Turn is how the arguments tell where a call stands in the line of Policy.Gate. Nil: there is no gate, or only the worker's
	// own code can tell.
	Turn *refcache.TurnFields
}

// TurnOf is where a call with canonical arguments stands in the line of its gate; the zero Turn if there is none, or if only a
// worker can tell.
func (f Function) TurnOf(args []byte) store.Turn {
	if f.Turn == nil || f.Policy.Gate.Name == "" {
		return store.Turn{}
	}
	turn := codec.TurnOf(args, *f.Turn)
	return store.NewTurn(f.Policy.Gate.Name, turn.Key, turn.Share, turn.Ahead)
}

// Takes reports whether the arguments may have a member at the top level. Names differ by more than case.
func (f Function) Takes(member string) bool {
	if f.TakesAll || f.AllowUnknown {
		return true
	}
	for name := range f.Members {
		if strings.EqualFold(name, member) {
			return true
		}
	}
	return false
}

const (
	maxText      = 256 << 10 // bytes
	maxFunctions = 500
)

// text is a Text as JSON. Durations are in ms.
type text struct {
	Functions map[string]function `json:"functions"` // by name@version
}

type function struct {
	Policy       policy          `json:"policy"`
	Members      map[string]bool `json:"members,omitempty"`
	TakesAll     bool            `json:"takes_all,omitempty"`
	AllowUnknown bool            `json:"allow_unknown,omitempty"`
	Gate         *gate           `json:"gate,omitempty"`
	Turn         *turn           `json:"turn,omitempty"`
}

type gate struct {
	Name        string `json:"name"`
	Each        int    `json:"each,omitempty"`
	All         int    `json:"all,omitempty"` // -1: slots
	Rate        int    `json:"rate,omitempty"`
	PerNs       int64  `json:"per_ns,omitempty"` // the time that Rate is for
	Burst       int    `json:"burst,omitempty"`
	MostWaiting int    `json:"most_waiting,omitempty"`
}

type turn struct {
	Key   []string `json:"key,omitempty"`
	Share []string `json:"share,omitempty"`
	Ahead int64    `json:"ahead,omitempty"`
}

type policy struct {
	MaxRetries    int     `json:"max_retries"`
	RetryDelay    int64   `json:"retry_delay"`
	BackoffFactor float64 `json:"retry_backoff_factor"`
	RetryMaxDelay int64   `json:"retry_max_delay"`
	RetryJitter   float64 `json:"retry_jitter"`
	Backoff       string  `json:"backoff,omitempty"`
	Timeout       int64   `json:"timeout"`
	AsyncTimeout  int64   `json:"async_timeout"`
	TTL           int64   `json:"ttl"`
	Fresh         int64   `json:"fresh,omitempty"`
	FailureTTL    int64   `json:"failure_ttl"`
}

// Text is what a worker tells of the functions that it handles in a queue, and Hash the name that Redis keeps it under.
type Text struct{ Hash, Text string }

// NewText writes the text of the functions of a queue. The error says that they are too many, or tell too much.
func NewText(queue string, functions []Function) (Text, error) {
	if len(functions) > maxFunctions {
		return Text{}, fmt.Errorf("queue %s: %d functions, may be %d: spread them over queues or workers", queue, len(functions), maxFunctions)
	}
	all := text{Functions: map[string]function{}}
	for _, f := range functions {
		all.Functions[Name(f.Policy.Name, f.Policy.Version)] = function{packed(f.Policy), f.Members, f.TakesAll, f.AllowUnknown,
			packedGate(f.Policy.Gate), packedTurn(f.Turn)}
	}
	written, err := json.Marshal(all)
	if err != nil {
		return Text{}, fmt.Errorf("declare the functions of queue %s: %w", queue, err)
	}
	if len(written) > maxText {
		return Text{}, fmt.Errorf("queue %s: the functions declare %d bytes, may be %d: spread them over queues or workers", queue, len(written), maxText)
	}
	sum := sha256.Sum256(written)
	return Text{hex.EncodeToString(sum[:16]), string(written)}, nil
}

// Name is how a function is called in a text.
func Name(name string, version int) string { return fmt.Sprintf("%s@%d", name, version) }

func packed(p refcache.Policy) policy {
	return policy{p.MaxRetries, p.RetryDelay.Milliseconds(), p.BackoffFactor, p.RetryMaxDelay.Milliseconds(), p.RetryJitter, p.Backoff,
		p.Timeout.Milliseconds(), p.AsyncTimeout.Milliseconds(), p.TTL.Milliseconds(), p.Fresh.Milliseconds(), p.FailureTTL.Milliseconds()}
}

func (p policy) unpack() refcache.Policy {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	return refcache.Policy{MaxRetries: p.MaxRetries, RetryDelay: ms(p.RetryDelay), BackoffFactor: p.BackoffFactor,
		RetryMaxDelay: ms(p.RetryMaxDelay), RetryJitter: p.RetryJitter, Backoff: p.Backoff, Timeout: ms(p.Timeout),
		AsyncTimeout: ms(p.AsyncTimeout), TTL: ms(p.TTL), Fresh: ms(p.Fresh), FailureTTL: ms(p.FailureTTL)}
}

// packedGate is nil for none.
func packedGate(g refcache.Gate) *gate {
	if g.Name == "" {
		return nil
	}
	return &gate{g.Name, g.Each, g.All, g.Rate.N, int64(g.Rate.Per), g.Rate.Burst, g.MostWaiting}
}

func (g *gate) unpack() refcache.Gate {
	if g == nil {
		return refcache.Gate{}
	}
	return refcache.Gate{Name: g.Name, Each: g.Each, All: g.All, MostWaiting: g.MostWaiting,
		Rate: refcache.Rate{N: g.Rate, Per: time.Duration(g.PerNs), Burst: g.Burst}}
}

func packedTurn(f *refcache.TurnFields) *turn {
	if f == nil {
		return nil
	}
	return &turn{f.Key, f.Share, f.Ahead.Milliseconds()}
}

func (t *turn) unpack() *refcache.TurnFields {
	if t == nil {
		return nil
	}
	return &refcache.TurnFields{Key: t.Key, Share: t.Share, Ahead: time.Duration(t.Ahead) * time.Millisecond}
}

// parse reads a text; what is none has no functions, as one of a newer refq may. A policy that cannot be is passed over.
func parse(written string) map[string]Function {
	var all text
	if json.Unmarshal([]byte(written), &all) != nil {
		return nil
	}
	functions := map[string]Function{}
	for name, f := range all.Functions {
		policy := f.Policy.unpack()
		policy.Gate = f.Gate.unpack()
		named := policy
		named.Name, named.Version, named.Queue = "f", 1, "q" // which a text does not say again
		if named.Check() == nil {
			functions[name] = Function{policy, f.Members, f.TakesAll, f.AllowUnknown, f.Turn.unpack()}
		}
	}
	return functions
}
