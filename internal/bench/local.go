package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

var local = scenario{
	name:  "local",
	about: "Local hits: results that the producer keeps in its memory, read by one caller.",
	cases: func(Options) []trial {
		return []trial{
			{"by ref_id", []side{{refqSide, func(ctx context.Context, g *ground) (reading, error) {
				return g.localHits(ctx, (*keeper).get)
			}}}},
			{"typed", []side{{refqSide, func(ctx context.Context, g *ground) (reading, error) {
				return g.localHits(ctx, (*keeper).call)
			}}}},
		}
	},
}

// localTimes is how many local hits stand for one call: they are that much quicker.
const localTimes = 100

// keeper keeps results in memory.
type keeper struct {
	*caller
	ins  []parcel
	refs []refcache.Ref
}

func (g *ground) localHits(ctx context.Context, hit func(k *keeper, ctx context.Context, n int) error) (reading, error) {
	k := g.newKeeper()
	defer k.close()
	if err := k.fill(ctx); err != nil {
		return nil, err
	}
	n := localTimes * g.options.Calls
	hits := func() error {
		for i := range n {
			if err := hit(k, ctx, i%len(k.ins)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := hits(); err != nil { // the first of them read what is then kept
		return nil, err
	}
	used, err := g.measure(ctx, hits)
	r := used.perCall(n)
	r[Nanoseconds] = float64(used.time.Nanoseconds()) / float64(n)
	return r, err
}

// newKeeper keeps results for as long as it runs: how often one must be read again is the user's to say, not measured.
func (g *ground) newKeeper() *keeper {
	k := &keeper{ins: make([]parcel, min(stored, g.options.Calls))}
	for n := range k.ins {
		k.ins[n] = g.parcel(n)
	}
	room := producer.LocalCache{Bytes: 4 * int64(len(k.ins)) * int64(g.options.Payload+2048), Stale: time.Hour}
	k.caller = &caller{g, producer.New(g.connect(), producer.Config{LocalCache: room}), g.function("echo", g.queue), nil}
	return k
}

// fill has a worker make all results.
func (k *keeper) fill(ctx context.Context) error {
	g, f := k.ground, k.function
	k.refs = make([]refcache.Ref, len(k.ins))
	return g.withWorker(ctx, func(w *worker.Worker) { worker.Handle(w, f, echo) }, func(ctx context.Context) error {
		_, err := load(ctx, callsWhileFilling, len(k.ins), func(ctx context.Context, n int) error {
			res, err := producer.Call(ctx, k.producer, k.function, k.ins[n])
			k.refs[n] = res.RefID
			return err
		})
		return err
	})
}

func (k *keeper) get(ctx context.Context, n int) error {
	res, err := k.producer.Get(ctx, k.refs[n])
	if err == nil && !res.IsComplete {
		return fmt.Errorf("call %s is not complete", res.RefID)
	}
	return err
}

func (k *keeper) call(ctx context.Context, n int) error {
	res, err := producer.Call(ctx, k.producer, k.function, k.ins[n])
	if err == nil && res.Value != k.ins[n] {
		return fmt.Errorf("call %s: wrong result", res.RefID)
	}
	return err
}
