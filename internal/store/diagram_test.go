package store_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
)

var update = flag.Bool("update", false, "write the state diagram into docs/protocol.md")

const (
	protocolFile = "../../docs/protocol.md"
	diagramBegin = "```mermaid\n"
	diagramEnd   = "```\n"
)

// diagram draws the table of transitions.
func diagram() string {
	var arrows []string
	labels := map[string][]string{}
	for _, t := range store.Transitions() {
		arrow := fmt.Sprintf("%s --> %s", node(t.From), node(t.To))
		if !slices.Contains(arrows, arrow) {
			arrows = append(arrows, arrow)
		}
		labels[arrow] = append(labels[arrow], t.Script)
	}
	var b strings.Builder
	b.WriteString(diagramBegin + "stateDiagram-v2\n")
	for _, arrow := range arrows {
		fmt.Fprintf(&b, "    %s: %s\n", arrow, strings.Join(labels[arrow], ", "))
	}
	return b.String() + diagramEnd
}

// node is a status in the diagram; no record is the point where a task begins and ends.
type node string

func (n node) String() string {
	if n == "" {
		return "[*]"
	}
	return string(n)
}

func TestTheStateDiagramInTheProtocolIsTheTable(t *testing.T) {
	text, err := os.ReadFile(protocolFile)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), diagramBegin)
	require.True(t, found, "no diagram in %s", protocolFile)
	drawn, after, _ := strings.Cut(rest, diagramEnd)
	if *update {
		require.NoError(t, os.WriteFile(protocolFile, []byte(before+diagram()+after), 0o644))
		return
	}
	require.Equal(t, diagram(), diagramBegin+drawn+diagramEnd, "draw it again with: go test ./internal/store -run Diagram -update")
}
