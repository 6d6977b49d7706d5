package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/script"
	"github.com/refq/refq/monitor"
)

// ChangeQueues changes each of some queues, with what [Store.QueueNames] missed of them, and returns what came of it by queue.
// To repeat change must be safe. Of a Cluster the nodes are asked side by side, and one that has not answered for 3 s is not
// asked any more. An error names the queues of which it is not known whether they were changed; those in the answer were.
func ChangeQueues[T any](ctx context.Context, s *Store, queues []string, missing []monitor.Missing,
	change func(ctx context.Context, queue string) (T, error)) (map[string]T, error) {
	type outcome struct {
		told T
		err  error
	}
	_, cluster := s.rdb.(*redis.ClusterClient)
	outcomes, silent, err := ByNode(ctx, s.Skipping(missing), queues, func(ctx context.Context, queue string) (outcome, error) {
		told, err := change(ctx, queue)
		if cluster && script.NodeFails(err) {
			return outcome{}, err // about all queues of the node
		}
		return outcome{told, err}, nil
	})
	if err != nil {
		return nil, err
	}
	changed := map[string]T{}
	var failed []error
	for _, queue := range slices.Sorted(maps.Keys(outcomes)) {
		if o := outcomes[queue]; o.err != nil {
			failed = append(failed, o.err)
		} else {
			changed[queue] = o.told
		}
	}
	err = incomplete(failed, silent, len(queues))
	for _, m := range missing { // there may be more queues
		err = errors.Join(err, fmt.Errorf("%w; repeat it", unanswered(m)))
	}
	return changed, err
}

// incomplete tells what failed of a change of some queues, in queues and at nodes; nil for nothing.
func incomplete(failed []error, silent []monitor.Missing, queues int) error {
	n := len(failed)
	for _, m := range silent {
		n += len(m.Queues)
		failed = append(failed, unanswered(m))
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d queues failed; repeat it: %w", n, queues, errors.Join(failed...))
}
