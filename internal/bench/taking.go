package bench

import (
	"context"
	"runtime"
	"time"
)

// taking is what was used while something ran.
type taking struct {
	time      time.Duration
	traffic   traffic
	inScripts int64
	redisCPU  float64 // seconds
	allocs    uint64
	cpu       time.Duration // of this process

	statsOK, redisOK, cpuOK, goOK bool // what is known
}

// measure does something and returns what that took.
func (g *ground) measure(ctx context.Context, do func() error) (taking, error) {
	runtime.GC() // nobody is to pay for what was before
	before, err := g.look(ctx)
	if err != nil {
		return taking{}, err
	}
	began := time.Now()
	if err := do(); err != nil {
		return taking{}, err
	}
	took := time.Since(began)
	if err := g.settle(ctx); err != nil {
		return taking{}, err
	}
	after, err := g.look(ctx)
	if err != nil {
		return taking{}, err
	}
	return g.between(before, after, took), nil
}

// sight is what all counters showed at a time.
type sight struct {
	server   server
	traffic  traffic
	observer traffic
	memory   runtime.MemStats
	cpu      time.Duration
	cpuOK    bool
}

func (g *ground) look(ctx context.Context) (s sight, err error) {
	if s.server, err = g.readServers(ctx); err != nil {
		return s, err
	}
	s.traffic, s.observer = g.wire.traffic(), g.asked.traffic()
	runtime.ReadMemStats(&s.memory)
	s.cpu, s.cpuOK = processCPU()
	return s, nil
}

func (g *ground) between(before, after sight, took time.Duration) taking {
	sent := after.traffic.since(before.traffic)
	asked := after.observer.since(before.observer)
	return taking{
		time:      took,
		traffic:   sent,
		inScripts: after.server.commands - before.server.commands - sent.commands - asked.commands,
		redisCPU:  after.server.cpu - before.server.cpu,
		allocs:    after.memory.Mallocs - before.memory.Mallocs,
		cpu:       after.cpu - before.cpu,
		statsOK:   after.server.statsOK,
		redisOK:   after.server.cpuOK,
		cpuOK:     after.cpuOK && g.proxy == nil, // a proxy would work in this process, too
		goOK:      g.proxy == nil,
	}
}

// perCall shares it among n calls.
func (t taking) perCall(n int) reading {
	per := func(total float64) float64 { return total / float64(n) }
	r := reading{
		Commands:   per(float64(t.traffic.commands)),
		RoundTrips: per(float64(t.traffic.sends)),
		Bytes:      per(float64(t.traffic.bytes)),
		Rate:       float64(n) / t.time.Seconds(),
	}
	if t.statsOK {
		r[InScripts] = per(float64(t.inScripts))
	}
	if t.goOK {
		r[Allocs] = per(float64(t.allocs))
	}
	if t.redisOK {
		r[RedisCPU] = per(t.redisCPU * 1e6)
	}
	if t.cpuOK {
		r[ClientCPU] = per(float64(t.cpu.Microseconds()))
	}
	return r
}

// perSecond shares it among the seconds that it took.
func (t taking) perSecond() reading {
	seconds := t.time.Seconds()
	r := reading{
		CommandsASecond: float64(t.traffic.commands) / seconds,
		BytesASecond:    float64(t.traffic.bytes) / seconds,
	}
	if t.redisOK {
		r[RedisCPUASecond] = t.redisCPU * 1e6 / seconds
	}
	return r
}
