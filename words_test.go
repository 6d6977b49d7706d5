package refq_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// retired are words that other words have replaced (docs/glossary.md), as they stand in identifiers and names of files.
var retired = regexp.MustCompile(`(?i:chime|renumber)|^Rider|^rider$|^riding$|[Tt]ally|^ringAnew$|^RingSilent$|^onTheWay$|^InTheNameOf$|^isBeyond$|^shortened$|\bmost[A-Z]`)

var (
	luaNoise = regexp.MustCompile(`--[^\n]*|'[^'\n]*'|"[^"\n]*"`)
	luaWord  = regexp.MustCompile(`[A-Za-z_]\w*`)
)

// Comments and texts for people may say what they like.
func TestNoRetiredWordNamesAnything(t *testing.T) {
	found := 0
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		var names []string
		switch {
		case strings.HasSuffix(path, "_test.go"):
			return nil
		case strings.HasSuffix(path, ".go"):
			names = goNames(t, path)
		case strings.HasSuffix(path, ".lua"):
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			names = append(luaWord.FindAllString(luaNoise.ReplaceAllString(string(text), ""), -1), strings.TrimSuffix(filepath.Base(path), ".lua"))
		}
		found += len(names)
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if retired.MatchString(name) {
				t.Errorf("%s: %s", path, name)
			}
		}
		return nil
	}))
	require.Greater(t, found, 10_000, "the names were looked at")
}

func goNames(t *testing.T, path string) (names []string) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			names = append(names, id.Name)
		}
		return true
	})
	return names
}
