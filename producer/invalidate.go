package producer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Scope is what an invalidation is about: [Tag], [OfFunc] or [OfNamespace]. The zero Scope is refused.
type Scope struct {
	text  string                        // as people read it
	err   error                         // why there is no such thing
	stamp func(namespace string) string // the name of its stamp
}

// Tag is all calls that have a tag ([refcache.Func].Tags).
func Tag(tag string) Scope {
	return Scope{"tag " + tag, codec.CheckTag(tag), func(namespace string) string { return store.TagStamp(namespace, tag) }}
}

// OfFunc is all calls of a function with tags, in all of its versions and queues.
func OfFunc(name string) Scope {
	return Scope{"function " + name, refcache.CheckName(name), func(namespace string) string { return store.FuncStamp(namespace, name) }}
}

// OfNamespace is all calls of functions with tags in the Producer's namespace.
func OfNamespace() Scope { return Scope{"the whole namespace", nil, store.NamespaceStamp} }

// String says what the Scope is, such as "tag user:7".
func (s Scope) String() string { return s.text }

// Check reports whether there may be what the Scope names. The error shows what is wrong with it.
func (s Scope) Check() error {
	if s.stamp == nil {
		return errors.New("a zero Scope: make one by Tag, OfFunc or OfNamespace")
	}
	return s.err
}

// Invalidate has what is on record of some calls in the Producer's namespace, in all queues, answer no longer: results,
// failures, and what a run under way will come to. A call that was about to be answered by it runs the function anew, and
// waits. It returns when that holds for every call that is made from then on and asks Redis; another Producer's
// [LocalCache] hears of it by a message, within milliseconds, and if that is lost after its Stale. Nothing is deleted, and
// nothing is run; how much is invalidated does not matter to what it takes. Only calls of functions with Tags look, and not
// who reads by ref_id. At most 1,000 scopes at a time.
//
// An error names the queues of which it is not known whether it was done, if it got so far; in all others it is done. To
// repeat it is safe. If ctx has ended, the error wraps its cause. A queue that Redis has forgotten, as after a flush, is
// known again when a worker of it sweeps, a second later.
func (p *Producer) Invalidate(ctx context.Context, scopes ...Scope) error {
	if err := p.checkCaller(); err != nil {
		return fmt.Errorf("invalidate: %w", err)
	}
	if len(scopes) == 0 {
		return errors.New("invalidate: there is nothing to invalidate: name a tag, a function or the namespace")
	}
	if len(scopes) > maxScopes {
		return fmt.Errorf("invalidate: %d scopes, more than %d: name them in several steps, or the function or namespace", len(scopes), maxScopes)
	}
	names, texts := make([]string, len(scopes)), make([]string, len(scopes))
	for i, s := range scopes {
		if err := s.Check(); err != nil {
			return fmt.Errorf("invalidate: %w", err)
		}
		names[i], texts[i] = s.stamp(p.cfg.Namespace), s.text
	}
	if err := p.invalidate(ctx, names); err != nil {
		return fmt.Errorf("invalidate %s: %w", strings.Join(texts, ", "), withCause(ctx, err))
	}
	return nil
}

// maxScopes bounds how long one invalidation holds up Redis: some 5 ms.
const maxScopes = 1000

// invalidate sets stamps in all queues.
func (p *Producer) invalidate(ctx context.Context, names []string) error {
	queues, missing, err := p.store.QueueNames(ctx)
	if err != nil {
		return err
	}
	// After a flush, Redis learns of a queue that this Producer has used a moment later.
	queues = append(queues, p.noter.names()...)
	slices.Sort(queues)
	_, err = store.ChangeQueues(ctx, p.store, slices.Compact(queues), missing, func(ctx context.Context, queue string) (struct{}, error) {
		return struct{}{}, p.store.Invalidate(ctx, queue, names)
	})
	for _, name := range names {
		p.local.forgetStamped(name) // without waiting for the message
	}
	return err
}
