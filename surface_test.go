package refq_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

var update = flag.Bool("update", false, "write the texts in testdata/surface anew")

// public are the packages that programs import. "." is the module's root.
var public = []string{".", "refcache", "producer", "worker", "admin", "monitor", "metrics", "refqtest"}

// Every change of what users see of a package shows in a diff of its golden text.
func TestSurfaceOfPublicPackages(t *testing.T) {
	testkit.Reserve(t, 1)
	for _, name := range public {
		doc, err := exec.Command("go", "doc", "-all", "./"+name).Output()
		require.NoError(t, err, name)
		golden := filepath.Join("testdata", "surface", strings.ReplaceAll(name, ".", "refq")+".txt")
		if *update {
			require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
			require.NoError(t, os.WriteFile(golden, doc, 0o644))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err, "write it with go test -run Surface -update .")
		require.Equal(t, string(want), string(doc), "if that is meant: go test -run Surface -update .")
	}
}

// Everybody imports refcache: it links nothing but the standard library.
func TestRefcacheLinksTheStandardLibraryAlone(t *testing.T) {
	testkit.Reserve(t, 1)
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./refcache").Output()
	require.NoError(t, err)
	require.Equal(t, []string{module + "/refcache"}, strings.Fields(string(out)))
}
