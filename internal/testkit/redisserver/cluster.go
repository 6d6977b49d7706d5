package redisserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// slots is how many a Redis Cluster has.
const slots = 16384

// Cluster is a Redis Cluster of servers that this process started. Its methods must not be called concurrently.
type Cluster struct {
	Masters  []*Server // by the slots that they began with, in equal parts
	Replicas []*Server // as many for each master, those of the first in front

	dir  string
	args []string
}

// StartCluster starts a Cluster of so many masters, each with so many replicas, whose nodes keep their files below dir and
// get these arguments. It returns when all nodes agree.
func StartCluster(ctx context.Context, dir string, masters, replicas int, args ...string) (*Cluster, error) {
	c := &Cluster{dir: dir, args: args}
	for n := range masters * (1 + replicas) {
		server, err := c.startNode()
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		if n < masters {
			c.Masters = append(c.Masters, server)
		} else {
			c.Replicas = append(c.Replicas, server)
		}
	}
	if err := c.assemble(ctx, replicas); err != nil {
		return nil, errors.Join(fmt.Errorf("assemble a Cluster: %w", err), c.Stop())
	}
	return c, nil
}

// Add adds a master without slots. It returns when all nodes know it and it takes writes. It ends with the others.
func (c *Cluster) Add(ctx context.Context) (*Server, error) {
	server, err := c.startNode()
	if err != nil {
		return nil, err
	}
	c.Masters = append(c.Masters, server)
	added := client(server)
	defer added.Close()
	if err := c.meet(ctx, added); err != nil {
		return nil, err
	}
	for _, s := range c.Nodes() {
		node := client(s)
		defer node.Close()
		if err := c.knowsAll(ctx, node); err != nil {
			return nil, err
		}
	}
	return server, c.agrees(ctx, added)
}

func (c *Cluster) startNode() (*Server, error) {
	dir := filepath.Join(c.dir, strconv.Itoa(len(c.Nodes())))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	bus, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(bus)
	return Start(append([]string{"--cluster-enabled", "yes", "--cluster-port", port, "--dir", dir, "--save", ""}, c.args...)...)
}

// Nodes are the masters, and then the replicas.
func (c *Cluster) Nodes() []*Server {
	return append(append([]*Server{}, c.Masters...), c.Replicas...)
}

// Stop ends all nodes.
func (c *Cluster) Stop() error {
	var errs []error
	for _, s := range c.Nodes() {
		errs = append(errs, s.Stop())
	}
	return errors.Join(errs...)
}

// assemble has the nodes meet, gives the masters their slots, and the replicas their masters.
func (c *Cluster) assemble(ctx context.Context, replicas int) error {
	clients := map[*Server]*redis.Client{}
	for _, s := range c.Nodes() {
		clients[s] = client(s)
		defer clients[s].Close()
	}
	for n, s := range c.Nodes() {
		if err := c.introduce(ctx, clients[s], n); err != nil {
			return err
		}
	}
	for _, s := range c.Nodes() {
		if err := c.knowsAll(ctx, clients[s]); err != nil {
			return err
		}
	}
	for n, s := range c.Replicas {
		master, err := clients[c.Masters[n/replicas]].ClusterMyID(ctx).Result()
		if err != nil {
			return err
		}
		if err := clients[s].ClusterReplicate(ctx, master).Err(); err != nil {
			return err
		}
	}
	for _, s := range c.Nodes() {
		if err := c.agrees(ctx, clients[s]); err != nil {
			return err
		}
	}
	return nil
}

// introduce gives a node its slots, if it is a master, and has it meet the first one.
func (c *Cluster) introduce(ctx context.Context, node *redis.Client, n int) error {
	if err := node.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", n+1).Err(); err != nil {
		return err
	}
	if all := len(c.Masters); n < all {
		if err := node.ClusterAddSlotsRange(ctx, n*slots/all, (n+1)*slots/all-1).Err(); err != nil {
			return err
		}
	}
	if n == 0 {
		return nil
	}
	return c.meet(ctx, node)
}

func client(s *Server) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.Addr, DisableIdentity: true})
}

// meet has a node meet the first one.
func (c *Cluster) meet(ctx context.Context, node *redis.Client) error {
	host, port, _ := net.SplitHostPort(c.Masters[0].Addr)
	bus := c.Masters[0].args[3]
	return node.Do(ctx, "CLUSTER", "MEET", host, port, bus).Err()
}

// agrees waits until a node finds the Cluster whole, and each replica in step with its master.
func (c *Cluster) agrees(ctx context.Context, node *redis.Client) error {
	if err := c.until(ctx, node, func(nodes string) bool { return strings.Count(nodes, "slave") == len(c.Replicas) }); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		info, err := node.ClusterInfo(ctx).Result()
		if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384") {
			return false, err
		}
		role, err := node.Info(ctx, "replication").Result()
		return !strings.Contains(role, "master_link_status:down"), err
	})
}

// knowsAll waits until a node knows all the others.
func (c *Cluster) knowsAll(ctx context.Context, node *redis.Client) error {
	return c.until(ctx, node, func(nodes string) bool {
		return strings.Count(nodes, "\n") == len(c.Nodes()) && !strings.Contains(nodes, "handshake")
	})
}

func (c *Cluster) until(ctx context.Context, node *redis.Client, is func(nodes string) bool) error {
	return poll(ctx, func() (bool, error) {
		nodes, err := node.ClusterNodes(ctx).Result()
		return err == nil && is(nodes), err
	})
}

// poll asks until something is so. A node that gets to know others may have to be asked again.
func poll(ctx context.Context, is func() (bool, error)) error {
	for {
		if so, err := is(); so {
			return nil
		} else if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}
