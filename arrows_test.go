package refq_test

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

const module = "github.com/refq/refq"

// arrows says which packages of ours a package may import, besides its test files: each line names packages, and what
// these may import of the lines above. A package that is not named here has no place in the house.
const arrows = `
refcache internal/remedy internal/netproxy internal/script internal/web/server internal/tracing/otlp internal/testkit/redisserver test/document test/e2e:
.: internal/script
monitor internal/codec internal/tracing internal/redact internal/term internal/errpattern: refcache
internal/redact: monitor
monitor: internal/remedy
internal/store: refcache monitor internal/script
internal/store/storetest: internal/store
internal/queue: refcache internal/script internal/store
internal/counters: refcache monitor internal/store
internal/declared: refcache internal/codec internal/store
internal/answer: refcache internal/codec internal/store
internal/change: refcache internal/store internal/queue internal/counters internal/answer internal/declared
producer: refcache monitor internal/codec internal/tracing internal/answer internal/change CORE
worker: refcache monitor internal/codec internal/tracing CORE
admin: refcache monitor internal/codec internal/answer internal/change CORE
internal/memredis: .
metrics: refcache monitor internal/script internal/store internal/queue producer worker admin
refqtest: internal/memredis producer worker
internal/config: . refcache internal/codec internal/redact producer worker
internal/execfunc: refcache internal/codec worker
internal/web/access: refcache monitor admin
internal/web/live: refcache producer admin
internal/web/asynqmon: refcache producer admin internal/config internal/redact internal/web/access
internal/web/api internal/web/ui: refcache monitor producer admin internal/codec internal/config internal/redact WEB
internal/web/api: internal/tracing
internal/web/ui: internal/errpattern
internal/bench: . refcache monitor producer worker admin internal/netproxy
internal/demo: refcache producer worker admin internal/memredis internal/term
internal/cmd/demo: internal/demo internal/term
internal/testkit: internal/memredis internal/testkit/redisserver
internal/testkit/world: internal/memredis internal/netproxy internal/testkit PUBLIC CORE
test/chaos test/capacity test/webload test/withredis test/stress: internal/netproxy internal/testkit/redisserver test/document PUBLIC
cmd/refq: internal/codec internal/config internal/execfunc internal/memredis internal/netproxy internal/bench internal/demo PUBLIC WEB
cmd/refq: internal/web/asynqmon internal/tracing/otlp internal/errpattern internal/term internal/redact internal/remedy internal/script
PUBLIC: . refcache producer worker admin monitor metrics refqtest
CORE: internal/script internal/store internal/queue internal/counters internal/declared
WEB: internal/web/server internal/web/access internal/web/live internal/web/api internal/web/ui
`

// mayImport is what arrows says of a package, and whether it names the package.
func mayImport(name string) (allowed []string, named bool) {
	for line := range strings.Lines(arrows) {
		packages, imports, _ := strings.Cut(strings.TrimSpace(line), ":")
		if slices.Contains(strings.Fields(packages), name) {
			named = true
			for _, imported := range strings.Fields(imports) {
				allowed = append(allowed, imported)
				if isGroup := imported != "." && imported == strings.ToUpper(imported); isGroup {
					members, _ := mayImport(imported)
					allowed = append(allowed, members...)
				}
			}
		}
	}
	return allowed, named
}

// borders says which of our packages alone may import somebody else's, in code that is not a test.
var borders = map[string][]string{
	// The benchmark compares with bare asynq; queues imports asynqmon, which has the same path and two letters more.
	"github.com/hibiken/asynq":      {"internal/queue", "internal/bench", "internal/web/asynqmon"},
	"github.com/hibiken/asynqmon":   {"internal/web/asynqmon"},
	"github.com/alicebob/miniredis": {"internal/memredis"},
	"github.com/goccy/go-yaml":      {"internal/config"},
	"github.com/spf13/cobra":        {"cmd/refq"},
	"golang.org/x/term":             {"internal/term"},
	"github.com/klauspost/compress": {"internal/store"},
	"github.com/maypok86/otter":     {"producer"},
	"github.com/prometheus/":        {"metrics"},
	// The libraries know OpenTelemetry's API: the interface of providers, and how spans are named and found.
	"go.opentelemetry.io/otel/trace":       {"internal/tracing", "internal/tracing/otlp", "producer", "worker"},
	"go.opentelemetry.io/otel/propagation": {"internal/tracing"},
	"go.opentelemetry.io/otel/sdk":         {"internal/tracing/otlp"},
	"go.opentelemetry.io/otel/exporters":   {"internal/tracing/otlp"},
}

func TestPackagesImportOnlyWhatTheArrowsAllow(t *testing.T) {
	testkit.Reserve(t, 1)
	for name, imports := range imports(t) {
		allowed, ok := mayImport(name)
		require.True(t, ok, "package %s is not in the arrows: say what it may import", name)
		for _, imported := range imports {
			if own, ok := ours(imported); ok {
				require.Contains(t, allowed, own, "%s imports %s", name, own)
			}
			for path, allowed := range borders {
				if strings.HasPrefix(imported, path) {
					require.Contains(t, allowed, name, "only %s may import %s", strings.Join(allowed, " and "), path)
				}
			}
		}
	}
}

// What users link must not drag in what only the binary or the tests need.
func TestLibrariesLinkNoToolsOfOthers(t *testing.T) {
	testkit.Reserve(t, 1)
	all := linked(t, "./refcache", "./producer", "./worker")
	require.Contains(t, all, "github.com/redis/go-redis/v9")
	for _, path := range all {
		for _, unwanted := range []string{"github.com/alicebob/", "github.com/goccy/", "github.com/hibiken/asynqmon",
			"github.com/lmittmann/", "github.com/rogpeppe/", "github.com/stretchr/", "github.com/vbauerster/", "pgregory.net/",
			"go.uber.org/goleak", "testing", "github.com/prometheus/", "google.golang.org/grpc", "go.opentelemetry.io/otel/sdk",
			"go.opentelemetry.io/otel/exporters", "go.opentelemetry.io/proto/", module + "/cmd", module + "/internal/memredis", module + "/internal/config"} {
			require.False(t, path == unwanted || strings.HasPrefix(path, unwanted+"/") ||
				strings.HasSuffix(unwanted, "/") && strings.HasPrefix(path, unwanted), "the libraries link %s", path)
		}
	}
}

// ours is a package of this module as the arrows name it; the module's root is ".".
func ours(path string) (name string, ok bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// The program of make demo is built on its own, so it must stay small.
func TestTheDemoLinksOnlyItsStory(t *testing.T) {
	testkit.Reserve(t, 1)
	for _, path := range linked(t, "./internal/cmd/demo") {
		for _, unwanted := range []string{module + "/internal/web", module + "/internal/config", module + "/internal/tracing/otlp",
			module + "/internal/bench", module + "/internal/execfunc", module + "/metrics", module + "/cmd/refq", "github.com/spf13/cobra",
			"github.com/goccy", "github.com/hibiken/asynqmon", "github.com/lmittmann", "github.com/prometheus",
			"go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters", "go.opentelemetry.io/proto",
			"google.golang.org/grpc"} {
			require.False(t, path == unwanted || strings.HasPrefix(path, unwanted+"/"), "the demo links %s", path)
		}
	}
}

// linked lists all packages that a program with these packages consists of.
func linked(t *testing.T, packages ...string) []string {
	out, err := exec.Command("go", append([]string{"list", "-deps"}, packages...)...).Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}

func imports(t *testing.T) map[string][]string {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	require.NoError(t, err)
	found := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if name, ok := ours(words[0]); ok {
			found[name] = words[1:]
		}
	}
	require.Subset(t, slices.Collect(maps.Keys(found)), []string{"refcache", "producer", "worker"})
	return found
}
