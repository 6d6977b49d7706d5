package refq_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A table that names tests must not outlive them.
func TestTestsThatTheDocumentsNameExist(t *testing.T) {
	var tests strings.Builder
	require.NoError(t, filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		tests.Write(text)
		return err
	}))
	text, err := os.ReadFile("docs/design.md")
	require.NoError(t, err)
	named := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(text), -1)
	require.NotEmpty(t, named)
	for _, name := range named {
		require.Contains(t, tests.String(), "func "+name+"(", "docs/design.md")
	}
}

func TestPicturesInTheDocumentsExistAndAreSmall(t *testing.T) {
	documents, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, document := range append(documents, "README.md") {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		for _, picture := range regexp.MustCompile(`!\[[^\]]+\]\(([^):]+)\)`).FindAllStringSubmatch(string(text), -1) {
			file, err := os.Stat(filepath.Join(filepath.Dir(document), picture[1]))
			require.NoError(t, err, document)
			require.Less(t, file.Size(), int64(100<<10), picture[1])
		}
	}
}
