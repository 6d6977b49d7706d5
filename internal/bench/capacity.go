package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/worker"
)

var capacity = scenario{
	name:  "capacity",
	about: "Capacity: Redis's memory and CPU time, and connections to it, for each thing that there is.",
	cases: func(o Options) []trial {
		one := func(name string, run func(context.Context, *ground) (reading, error)) trial {
			return trial{name, []side{{refqSide, run}}}
		}
		return []trial{
			one("a result", resultCost), one("a pending call", pendingCost), one("a producer", producerCost),
			one("an idle worker", workerCost), one("a further queue of it", queueCost),
		}
	},
}

// resultCost is what a call takes, and what its result leaves in Redis.
func resultCost(ctx context.Context, g *ground) (r reading, err error) {
	f := g.function("echo", g.queue)
	c := g.newCaller(f)
	defer c.close()
	callers := g.options.Callers[0]
	err = g.withWorker(ctx, func(w *worker.Worker) { worker.Handle(w, f, echo) }, func(ctx context.Context) error {
		if err := warmUp(ctx, callers, c.call); err != nil {
			return err
		}
		r, err = g.fills(ctx, callers, c.call)
		return err
	})
	return r, err
}

// pendingCost is what the submission of a call takes, and what it leaves in Redis until a worker takes it.
func pendingCost(ctx context.Context, g *ground) (reading, error) {
	c := g.newCaller(g.function("echo", g.queue))
	defer c.close()
	callers := g.options.Callers[0]
	if err := warmUp(ctx, callers, c.submit); err != nil {
		return nil, err
	}
	return g.fills(ctx, callers, c.submit)
}

// fills measures a round of calls, and how much fuller Redis is then.
func (g *ground) fills(ctx context.Context, callers int, call func(context.Context, int) error) (reading, error) {
	before, err := g.holds(ctx)
	if err != nil {
		return nil, err
	}
	n := g.options.Calls
	used, err := g.measure(ctx, func() error {
		_, err := load(ctx, callers, n, call)
		return err
	})
	if err != nil {
		return nil, err
	}
	after, err := g.holds(ctx)
	r := used.perCall(n)
	r[RedisBytes] = (after.bytes - before.bytes) / float64(n)
	return r, err
}

// producerCost is how many connections a producer has that many use at once.
func producerCost(ctx context.Context, g *ground) (reading, error) {
	before, err := g.holds(ctx)
	if err != nil {
		return nil, err
	}
	c := g.newCaller(g.function("echo", g.queue))
	defer c.close()
	if err := warmUp(ctx, g.options.Callers[0], c.submit); err != nil {
		return nil, err
	}
	after, err := g.holds(ctx)
	return reading{Connections: after.connections - before.connections}, err
}

// workerCost is what a worker of one queue takes that has nothing to do.
// What Redis takes on its own is not the worker's.
func workerCost(ctx context.Context, g *ground) (reading, error) {
	alone, err := g.measure(ctx, func() error { return pause(ctx, g.options.Watch) })
	if err != nil {
		return nil, err
	}
	r, err := g.idlers(ctx, 1)
	if cpu, known := alone.perSecond()[RedisCPUASecond]; known && err == nil {
		r[RedisCPUASecond] -= cpu
	}
	return r, err
}

// further is how many queues the other worker of queueCost serves besides. What one of them takes is little.
const further = 10

// queueCost is what a worker takes for a queue more.
func queueCost(ctx context.Context, g *ground) (reading, error) {
	one, err := g.idlers(ctx, 1)
	if err != nil {
		return nil, err
	}
	more, err := g.idlers(ctx, 1+further)
	for m := range more {
		more[m] = (more[m] - one[m]) / further
	}
	return more, err
}

// idlers measures a worker of so many queues while nothing is asked for.
func (g *ground) idlers(ctx context.Context, queues int) (r reading, err error) {
	before, err := g.holds(ctx)
	if err != nil {
		return nil, err
	}
	names := []string{g.queue}
	for n := range queues - 1 {
		names = append(names, g.another(fmt.Sprint(n)))
	}
	handle := func(w *worker.Worker) {
		for _, name := range names {
			worker.Handle(w, g.function("echo-"+name, name), echo)
		}
	}
	err = g.withWorker(ctx, handle, func(ctx context.Context) error {
		if err := g.served(ctx, names); err != nil {
			return err
		}
		used, err := g.measure(ctx, func() error { return pause(ctx, g.options.Watch) })
		if err != nil {
			return err
		}
		after, err := g.holds(ctx)
		r = used.perSecond()
		r[Connections] = after.connections - before.connections
		return err
	})
	return r, err
}

// served waits until a worker has told Redis of all its queues.
func (g *ground) served(ctx context.Context, queues []string) error {
	for _, name := range queues {
		for {
			n, err := g.observer.ZCard(ctx, "refq:{"+name+"}:workers").Result()
			if err != nil {
				return err
			}
			if n > 0 {
				break
			}
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// held is what a Redis holds.
type held struct{ bytes, connections float64 }

// holds asks Redis. What it does not tell is 0.
func (s *site) holds(ctx context.Context) (h held, err error) {
	err = s.onNodes(ctx, func(ctx context.Context, node *redis.Client) error {
		memory, err := section(ctx, node, "memory")
		if err != nil {
			return err
		}
		clients, err := section(ctx, node, "clients")
		used, _ := number(memory["used_memory"])
		buffers, _ := number(memory["mem_clients_normal"]) // which come and go
		connections, _ := number(clients["connected_clients"])
		h.bytes, h.connections = h.bytes+used-buffers, h.connections+connections
		return err
	})
	return h, err
}
