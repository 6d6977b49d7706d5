package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// nodes judges whether the servers answer, are what they should be and hold all queues between them.
func (h Health) nodes() Finding {
	var all verdict
	for _, m := range h.silentNodes() {
		all.add(LevelWrong, "start it, or let a replica take over: calls of its queues wait for that", "%s does not answer", m)
	}
	versions := map[string]bool{}
	for _, s := range h.Servers {
		s.judgeNode(&all)
		versions[s.name()] = true
	}
	if len(versions) > 1 {
		var names []string
		for name := range versions {
			names = append(names, name)
		}
		slices.Sort(names)
		all.add(LevelWarning, "bring all nodes to one version", "versions differ: %s", named(names))
	}
	if len(h.Servers) == 0 && len(all.facts) == 0 {
		return LevelUnknown.of("", "no server could be asked, see permissions")
	}
	return all.finding(h.wellKnown())
}

// silentNodes are the addresses of those that did not answer, each once.
func (h Health) silentNodes() (nodes []string) {
	for _, m := range h.Missing {
		if node := cmp.Or(m.Node, "a node"); !slices.Contains(nodes, node) {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

func (s ServerHealth) judgeNode(all *verdict) {
	if s.Role == "slave" {
		all.add(LevelWrong, "connect to its master: name the Sentinels or the Cluster in the URL, or repoint the address", "%s is a replica", s.Addr)
	}
	c := s.Cluster
	if c == nil {
		return
	}
	if c.Unserved > 0 {
		all.add(LevelWrong, "redis-cli --cluster check, then start or replace the node that held them", "%s says that slots are not served: %d", s.Addr, c.Unserved)
	} else if c.Down {
		all.add(LevelWrong, "redis-cli --cluster check says which nodes it misses", "%s says that its Cluster is down", s.Addr)
	}
	if len(c.OpenSlots) > 0 {
		all.add(LevelWarning, "if nobody moves slots just now: redis-cli --cluster fix", "%s has open slots, whose queues stand still: %s", s.Addr, named(c.OpenSlots))
	}
	if len(c.SilentReplicas) > 0 {
		all.add(LevelWarning, "start them: without a replica nobody takes over", "%s does not reach its replicas %s", s.Addr, named(c.SilentReplicas))
	}
}

// wellKnown says what there is, when nothing is wrong with it.
func (h Health) wellKnown() string {
	replicas, known := 0, true
	for _, s := range h.Servers {
		if s.Replicas == nil {
			known = false
			continue
		}
		replicas += *s.Replicas
	}
	text := "1 server answers"
	if n := len(h.Servers); n > 1 {
		text = fmt.Sprintf("%d masters answer", n)
	}
	if known {
		text += fmt.Sprintf("; replicas: %d", replicas)
	}
	return text
}

// name is what runs, with its version.
func (s ServerHealth) name() string {
	if s.Valkey != "" {
		return "Valkey " + s.Valkey
	}
	return "Redis " + s.Version
}

// verdict is a finding about several things, of which none hides another.
type verdict struct {
	level           Level
	facts, remedies []string
}

func (v *verdict) add(level Level, remedy, format string, args ...any) {
	if slices.Index(levels, level) > slices.Index(levels, v.level) {
		v.level = level
	}
	v.facts, v.remedies = append(v.facts, fmt.Sprintf(format, args...)), append(v.remedies, remedy)
}

// finding is what was added, or that all is fine.
func (v verdict) finding(well string) Finding {
	if len(v.facts) == 0 {
		return fine("%s", well)
	}
	slices.Sort(v.remedies)
	return Finding{Level: v.level, Fact: strings.Join(v.facts, "; "), Remedy: strings.Join(slices.Compact(v.remedies), "; ")}
}
