package script

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/redis/go-redis/v9"
)

// reloadEvery is how often a Cluster's client looks for the nodes at most, while they fail. go-redis itself pauses only after
// a look that succeeded.
const reloadEvery = 200 * time.Millisecond

// followed has the clients of Clusters that look for the nodes anew.
var followed Beside[redis.ClusterClient, *follower]

// followNodes has a Cluster's client look for the nodes of the slots anew when a node fails. go-redis does so each minute, and
// when a node tells it that a slot has moved: one that is gone tells nothing.
func followNodes(cluster *redis.ClusterClient) *follower {
	key := weak.Make(cluster)
	f, isNew := followed.Of(cluster, &follower{reload: func() { reload(key) }, seeds: len(cluster.Options().Addrs),
		nodes: map[string]weak.Pointer[redis.Client]{}})
	if isNew {
		cluster.OnNewNode(f.meet)
		cluster.AddHook(f) // for nodes that are known already: it hears only of what has failed for good
	}
	return f
}

func reload(key weak.Pointer[redis.ClusterClient]) {
	if cluster := key.Value(); cluster != nil {
		cluster.ReloadState(context.Background())
	}
}

// follower is a hook of a Cluster's client and of those of its nodes.
type follower struct {
	reload func()
	last   atomic.Int64 // when it was last called, in Unix ns
	seeds  int          // addresses that the client was given
	slow   atomic.Bool  // the last node that was asked about all others did not answer in time

	mu    sync.Mutex
	nodes map[string]weak.Pointer[redis.Client] // by address, those that go-redis has made
}

// meet notes a node, and hears of its errors.
func (f *follower) meet(node *redis.Client) {
	node.AddHook(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes[node.Options().Addr] = weak.Make(node)
}

// known are the nodes of the Cluster, and some that were: go-redis closes what it does not need any more.
func (f *follower) known() (nodes []*redis.Client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for addr, pointer := range f.nodes {
		if node := pointer.Value(); node != nil {
			nodes = append(nodes, node)
		} else {
			delete(f.nodes, addr)
		}
	}
	return nodes
}

// heard has the nodes looked for if an error says that one of them fails. A nil follower does nothing.
func (f *follower) heard(err error) {
	if f != nil && nodeFails(err) {
		f.look()
	}
}

// look has the nodes looked for, at most each reloadEvery. A nil follower does nothing.
func (f *follower) look() {
	if f == nil {
		return
	}
	last, now := f.last.Load(), time.Now().UnixNano()
	if now-last >= int64(reloadEvery) && f.last.CompareAndSwap(last, now) {
		f.reload()
	}
}

// NodeFails is whether an error says that a node cannot answer now: it cannot be reached, is not what it was, or begins to be.
func NodeFails(err error) bool {
	return nodeFails(err) || redis.HasErrorPrefix(err, "LOADING") || redis.HasErrorPrefix(err, "TRYAGAIN")
}

// nodeFails is whether an error says that a node cannot be reached, or is not what it was.
func nodeFails(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	for _, prefix := range []string{"READONLY", "MASTERDOWN", "CLUSTERDOWN"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return !answered(err)
}

func (f *follower) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		f.heard(err)
		return conn, err
	}
}

func (f *follower) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		limited, cancel := f.limit(ctx, cmd)
		defer cancel()
		err := next(limited, cmd)
		if limited != ctx {
			f.slow.Store(limited.Err() != nil)
		}
		f.heard(err)
		return err
	}
}

// whereWithin is how long a node has to say where slots are, or which commands there are, when another can tell as well. It is
// the next one's turn then, which has as long as it needs: all may be far away.
const whereWithin = 500 * time.Millisecond

// limit bounds what go-redis asks one node after the other before it sends the first command.
func (f *follower) limit(ctx context.Context, cmd redis.Cmder) (context.Context, context.CancelFunc) {
	about := cmd.Name() == "command" || cmd.Name() == "cluster" && len(cmd.Args()) == 2 && cmd.Args()[1] == "slots"
	if !about || f.slow.Swap(false) || max(f.seeds, len(f.known())) < 2 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, whereWithin)
}

func (f *follower) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		f.heard(err)
		for _, cmd := range cmds {
			f.heard(cmd.Err())
		}
		return err
	}
}
