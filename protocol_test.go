package refq_test

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const protocolFile = "docs/protocol.md"

// sections are the parts of a document below headings of a level, by heading.
func sections(t *testing.T, text, level string) map[string]string {
	found := map[string]string{}
	heading := ""
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, level+" "); ok {
			heading = strings.Trim(strings.TrimSpace(name), "`")
			require.NotContains(t, found, heading, "twice in the document")
			found[heading] = ""
		} else if strings.HasPrefix(line, "#") && strings.IndexByte(line, ' ') <= len(level) {
			heading = ""
		} else if heading != "" {
			found[heading] += line
		}
	}
	return found
}

// A rule has four lines, in this order.
var ruleLines = []string{"- **Rule**: ", "- **Without it**: ", "- **Enforced**: ", "- **Test**: "}

func TestTheProtocolHasTheRulesThatTheCodeNames(t *testing.T) {
	protocol := documents(t)[protocolFile]
	rules := sections(t, sections(t, protocol, "##")["Rules"], "###")
	require.Len(t, rules, 15)
	for n := range 15 {
		name := "R" + strconv.Itoa(n+1)
		require.Contains(t, rules, name, "rules are numbered without a gap")
		lines := strings.Split(strings.TrimSpace(rules[name]), "\n")
		require.Len(t, lines, len(ruleLines), name)
		for i, begin := range ruleLines {
			require.True(t, strings.HasPrefix(lines[i], begin), "%s: line %d does not begin with %q", name, i+1, begin)
		}
		require.Regexp(t, `^- \*\*Test\*\*: Test\w+(, Test\w+)*$`, lines[3], name)
	}

	named := map[string]bool{}
	rule := regexp.MustCompile(`\b(?:Test)?(R[0-9]+)(?:\b|[A-Z])`)
	for file, text := range texts(t, ".go", ".lua") {
		if file == "protocol_test.go" {
			continue
		}
		for _, name := range rule.FindAllStringSubmatch(text, -1) {
			require.Contains(t, rules, name[1], "%s names a rule that %s has not", file, protocolFile)
			named[name[1]] = true
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(rules)), slices.Collect(maps.Keys(named)), "rules that no code or test names")
	for _, name := range regexp.MustCompile(`\bR[0-9]+\b`).FindAllString(protocol, -1) {
		require.Contains(t, rules, name)
	}
}

func TestTheProtocolHasASectionForEachScript(t *testing.T) {
	all := sections(t, documents(t)[protocolFile], "##")
	described := sections(t, all["Scripts of the record"], "###")
	maps.Copy(described, sections(t, all["Scripts of the queue"], "###"))

	var scripts []string
	for file := range texts(t, ".lua") {
		name := strings.TrimSuffix(path.Base(file), ".lua")
		scripts = append(scripts, name)
		require.NotEmpty(t, strings.TrimSpace(described[name]), "%s says nothing of %s", protocolFile, file)
	}
	require.ElementsMatch(t, scripts, slices.Collect(maps.Keys(described)), "sections and scripts")
}

// Where a rule is enforced by a script, the script is there.
func TestScriptsThatTheProtocolNamesExist(t *testing.T) {
	there := map[string]bool{}
	for file := range texts(t, ".lua") {
		name := strings.TrimSuffix(path.Base(file), ".lua")
		there[name] = true
	}
	for document, text := range documents(t) {
		for _, name := range regexp.MustCompile("`(?:[a-z/]*/)?([a-z_]+)\\.lua`").FindAllStringSubmatch(text, -1) {
			require.True(t, there[name[1]], "%s names %s.lua", document, name[1])
		}
	}
}
