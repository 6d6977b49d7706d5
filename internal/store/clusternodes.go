package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/monitor"
)

// lookAtCluster is what a node says of its Cluster; nil if it refuses to.
func lookAtCluster(ctx context.Context, rdb redis.Cmdable) (*monitor.ClusterHealth, error) {
	info, err := rdb.ClusterInfo(ctx).Result()
	var nodes string
	if err == nil {
		nodes, err = rdb.ClusterNodes(ctx).Result()
	}
	switch {
	case Refuses(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	told := infoOf(info)
	h := &monitor.ClusterHealth{Down: told["cluster_state"] == "fail"}
	assigned, _ := strconv.Atoi(told["cluster_slots_assigned"])
	failed, _ := strconv.Atoi(told["cluster_slots_fail"])
	h.Unserved = 16384 - assigned + failed
	h.OpenSlots, h.SilentReplicas = openSlots(nodes)
	return h, nil
}

// openSlots reads from CLUSTER NODES which slots the node that tells it gives away or takes in, and which of its replicas it does
// not reach. A line is: id address flags master ping pong epoch link slots…
func openSlots(nodes string) (open, silent []string) {
	id := ""
	for line := range strings.Lines(nodes) {
		if words := strings.Fields(line); len(words) > 7 && strings.Contains(words[2], "myself") {
			id = words[0]
			for _, slot := range words[8:] {
				if number, _, is := strings.Cut(strings.Trim(slot, "[]"), "-"); is && strings.HasPrefix(slot, "[") {
					open = append(open, number)
				}
			}
		}
	}
	for line := range strings.Lines(nodes) {
		words := strings.Fields(line)
		if len(words) > 7 && words[3] == id && (strings.Contains(words[2], "fail") || words[7] != "connected") {
			addr, _, _ := strings.Cut(words[1], "@")
			silent = append(silent, addr)
		}
	}
	return open, silent
}
