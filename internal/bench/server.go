package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// server is what Redis says of itself, all masters of a Cluster together. A Redis that does not say something has ok false.
type server struct {
	cpu      float64 // seconds, of all its threads
	cpuOK    bool
	commands int64 // that were run, those called by scripts too
	statsOK  bool
}

// readServers asks all masters, and adds up what they say.
func (s *site) readServers(ctx context.Context) (sum server, err error) {
	sum.cpuOK, sum.statsOK = true, true
	err = s.onNodes(ctx, func(ctx context.Context, node *redis.Client) error {
		one, err := readServer(ctx, node)
		sum.cpu, sum.cpuOK = sum.cpu+one.cpu, sum.cpuOK && one.cpuOK
		sum.commands, sum.statsOK = sum.commands+one.commands, sum.statsOK && one.statsOK
		return err
	})
	return sum, err
}

// readServer asks one server. Each answer stands in a section of INFO; others than Redis itself lack some.
func readServer(ctx context.Context, rdb redis.UniversalClient) (server, error) {
	var s server
	cpu, err := section(ctx, rdb, "cpu")
	if err != nil {
		return s, err
	}
	user, okUser := number(cpu["used_cpu_user"])
	sys, okSys := number(cpu["used_cpu_sys"])
	s.cpu, s.cpuOK = user+sys, okUser && okSys

	stats, err := section(ctx, rdb, "commandstats")
	if err != nil {
		return s, err
	}
	for key, line := range stats {
		if strings.HasPrefix(key, "cmdstat_") {
			s.commands += calls(line)
			s.statsOK = true
		}
	}
	return s, nil
}

// section reads a section of INFO; empty if this Redis has none of that name.
func section(ctx context.Context, rdb redis.UniversalClient, name string) (map[string]string, error) {
	text, err := rdb.Info(ctx, name).Result()
	if _, refused := err.(redis.Error); refused {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read INFO %s: %w", name, err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[key] = value
		}
	}
	return fields, nil
}

func number(text string) (float64, bool) {
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil
}

// calls reads the number out of a line of commandstats, calls=N,usec=…
func calls(line string) int64 {
	text, _, _ := strings.Cut(strings.TrimPrefix(line, "calls="), ",")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
