package declared

import (
	"context"
	"slices"

	"github.com/refq/refq/refcache"
)

// Gates returns the gates that living workers of a queue declare, by name: each with the different numbers that it has, those last
// that count. Complete is false if there are workers that have not told what they declare.
func (r *Reader) Gates(ctx context.Context, queue string) (gates map[string][]refcache.Gate, complete bool, err error) {
	found, err := r.read(ctx, queue)
	return found.gates, !found.untold, err
}

// withGate adds a gate that counts to those before.
func withGate(gates []refcache.Gate, g refcache.Gate) []refcache.Gate {
	return append(slices.DeleteFunc(gates, func(other refcache.Gate) bool { return other == g }), g)
}
