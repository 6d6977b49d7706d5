package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/monitor"
)

// nodeWithin is how long a node of a Cluster may take to answer for one of its queues.
const nodeWithin = 3 * time.Second

var errSilent = errors.New("no answer within 3 s")

// Answer is that of a queue.
type Answer[T any] struct {
	Queue string
	Told  T
}

// InQueues asks the queues that are named, all that there are if none is, and returns their answers by name. Of a Cluster the
// nodes are asked side by side, 3 s each: an error that is a *monitor.PartialError comes with the answers of the others. Any
// other error comes alone: nobody has answered, or Redis refuses what was asked. See [ByNode] for ask.
func InQueues[T any](ctx context.Context, s *Store, named []string, ask func(ctx context.Context, queue string) (T, error)) ([]Answer[T], error) {
	queues, missing, err := s.namedOrAll(ctx, named)
	if err != nil {
		return nil, err
	}
	found, silent, err := ByNode(ctx, s.Skipping(missing), queues, ask)
	if err != nil {
		return nil, err
	}
	answers := make([]Answer[T], 0, len(found))
	for _, queue := range slices.Sorted(maps.Keys(found)) {
		answers = append(answers, Answer[T]{queue, found[queue]})
	}
	return answers, Partial(append(missing, silent...), len(answers) > 0)
}

func (s *Store) namedOrAll(ctx context.Context, named []string) ([]string, []monitor.Missing, error) {
	if len(named) > 0 {
		return slices.Compact(slices.Sorted(slices.Values(named))), nil, nil
	}
	return s.QueueNames(ctx)
}

// ByNode asks each of some queues, and returns the answers by queue. Of a Cluster it asks the nodes side by side, each for its
// queues one after the other. A node that has not answered for 3 s is not asked any more, and what it was yet to tell is missing. What
// ask still does after that is lost, so it must change nothing that others see. A client of one server is asked queue by queue, for as
// long as ctx lasts. An error means that there is no answer: that server did not give one, or Redis refuses what was asked.
func ByNode[T any](ctx context.Context, s *Store, queues []string, ask func(ctx context.Context, queue string) (T, error)) (map[string]T, []monitor.Missing, error) {
	return byNode(ctx, s, queues, NobodysKey, ask)
}

// NodeOf is the host:port of the Redis that holds a queue, as far as the client knows without asking; empty if it does not.
func (s *Store) NodeOf(ctx context.Context, queue string) string {
	return script.NodeOf(ctx, s.rdb, NobodysKey(queue))
}

// NodesOf groups queues by the node that NodeOf tells of each.
func (s *Store) NodesOf(ctx context.Context, queues []string) map[string][]string {
	return s.grouped(ctx, queues, NobodysKey)
}

// grouped groups names by the node that holds the key of each.
func (s *Store) grouped(ctx context.Context, names []string, key func(name string) string) map[string][]string {
	nodes := map[string][]string{}
	for _, name := range names {
		node := script.NodeOf(ctx, s.rdb, key(name))
		nodes[node] = append(nodes[node], name)
	}
	return nodes
}

// byNode is ByNode for whatever lives where a key does.
func byNode[T any](ctx context.Context, s *Store, names []string, key func(name string) string,
	ask func(ctx context.Context, name string) (T, error)) (map[string]T, []monitor.Missing, error) {
	if _, cluster := s.rdb.(*redis.ClusterClient); !cluster {
		found := make(map[string]T, len(names))
		for _, name := range names {
			told, err := ask(ctx, name)
			if err != nil {
				return nil, nil, err
			}
			found[name] = told
		}
		return found, nil, nil
	}
	nodes := s.grouped(ctx, names, key)
	var skipped []monitor.Missing
	for node, names := range nodes {
		if err := s.silent[node]; err != nil {
			skipped = append(skipped, monitor.Missing{Node: node, Queues: slices.Sorted(slices.Values(names)), Err: err})
			delete(nodes, node)
		}
	}
	found, missing, err := sideBySide(ctx, nodes, ask)
	return found, append(missing, skipped...), err
}

// Skipping returns a Store for the same Redis that takes it for granted that these nodes do not answer, in [ByNode] and what uses it.
func (s *Store) Skipping(missing []monitor.Missing) *Store {
	if len(missing) == 0 {
		return s
	}
	knowing := *s
	knowing.silent = maps.Clone(s.silent)
	if knowing.silent == nil {
		knowing.silent = map[string]error{}
	}
	for _, m := range missing {
		knowing.silent[m.Node] = errSilent
	}
	return &knowing
}

// sideBySide asks all nodes at once, each about its names in turn.
func sideBySide[T any](ctx context.Context, nodes map[string][]string, ask func(ctx context.Context, name string) (T, error)) (map[string]T, []monitor.Missing, error) {
	all := make(chan nodeAnswer[T], len(nodes))
	for node, names := range nodes {
		go func() { all <- askNode(ctx, node, names, ask) }()
	}
	found := map[string]T{}
	var missing []monitor.Missing
	var refused error
	for range nodes {
		a := <-all
		maps.Copy(found, a.found)
		switch {
		case a.err == nil:
		case script.NodeFails(a.err):
			missing = append(missing, monitor.Missing{Node: a.node, Queues: a.left, Err: a.err})
		default:
			refused = a.err
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		refused = context.Cause(ctx)
	}
	if refused != nil {
		return nil, nil, refused
	}
	slices.SortFunc(missing, func(a, b monitor.Missing) int { return strings.Compare(a.Node, b.Node) })
	return found, missing, nil
}

// nodeAnswer is what a node has answered.
type nodeAnswer[T any] struct {
	node  string
	found map[string]T
	left  []string // names that were to be asked about when there was an error, sorted
	err   error
}

func askNode[T any](ctx context.Context, node string, names []string, ask func(ctx context.Context, name string) (T, error)) nodeAnswer[T] {
	a := nodeAnswer[T]{node: node, found: map[string]T{}, left: slices.Sorted(slices.Values(names))}
	for len(a.left) > 0 {
		told, err := askInTime(ctx, a.left[0], ask)
		if err != nil {
			a.err = err
			break
		}
		a.found[a.left[0]] = told
		a.left = a.left[1:]
	}
	return a
}

// askInTime does not wait longer than a node may take, even for a client that knows no deadlines.
func askInTime[T any](ctx context.Context, name string, ask func(ctx context.Context, name string) (T, error)) (told T, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, nodeWithin, errSilent)
	defer cancel()
	answered := make(chan func() (T, error), 1)
	go func() {
		told, err := ask(ctx, name)
		answered <- func() (T, error) { return told, err }
	}()
	select {
	case answer := <-answered:
		if told, err = answer(); err != nil && ctx.Err() != nil && script.NodeFails(err) {
			err = context.Cause(ctx) // what the client says of that depends on how far it was
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return told, err
}

// Partial is the error of an answer from which something may be missing: a *monitor.PartialError, with each node once, or nil.
// Where nothing else is there, it is why.
func Partial(missing []monitor.Missing, some bool) error {
	switch {
	case len(missing) == 0:
		return nil
	case !some:
		return unanswered(missing[0])
	}
	return &monitor.PartialError{Missing: mergeMissing(missing)}
}

// unanswered is what a node did not answer as an error. Without queues the text of a Missing has the text of its error already.
func unanswered(m monitor.Missing) error {
	if len(m.Queues) > 0 {
		return fmt.Errorf("%v: %w", m, m.Err)
	}
	return fmt.Errorf("node %s does not answer: %w", m.Node, m.Err)
}

// mergeMissing has each node once. What is no queue of a node goes without saying beside its queues, but for the list of them.
func mergeMissing(all []monitor.Missing) (merged []monitor.Missing) {
	for _, m := range all {
		i := slices.IndexFunc(merged, func(o monitor.Missing) bool {
			return o.Node == m.Node && errors.Is(o.Err, errUnlisted) == errors.Is(m.Err, errUnlisted)
		})
		if i < 0 {
			m.Queues = slices.Clone(m.Queues)
			merged = append(merged, m)
			continue
		}
		if len(merged[i].Queues) == 0 {
			merged[i].Err = m.Err
		}
		merged[i].Queues = append(merged[i].Queues, m.Queues...)
		slices.Sort(merged[i].Queues)
		merged[i].Queues = slices.Compact(merged[i].Queues)
	}
	slices.SortStableFunc(merged, func(a, b monitor.Missing) int { return strings.Compare(a.Node, b.Node) })
	return merged
}
