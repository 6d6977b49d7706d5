package refq_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// documents are the Markdown files of the repository, by path.
func documents(t *testing.T) map[string]string {
	found := texts(t, ".md")
	require.Contains(t, found, "README.md")
	require.Contains(t, found, "docs/protocol.md")
	return found
}

// texts are the files of the repository with one of these endings, by path.
func texts(t *testing.T, endings ...string) map[string]string {
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".github":
			return fs.SkipDir
		case entry.IsDir() || !slices.ContainsFunc(endings, func(end string) bool { return strings.HasSuffix(path, end) }):
			return nil
		}
		text, err := os.ReadFile(path)
		found[filepath.ToSlash(path)] = string(text)
		return err
	}))
	return found
}

// A document that names tests must not outlive them.
func TestTestsThatTheDocumentsNameExist(t *testing.T) {
	tests := map[string]bool{}
	for _, text := range texts(t, "_test.go") {
		for _, name := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(text, -1) {
			tests[name[1]] = true
		}
	}
	named := 0
	for document, text := range documents(t) {
		for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(text, -1) {
			require.True(t, tests[name], "%s names %s, which is nowhere", document, name)
			named++
		}
	}
	require.NotZero(t, named)
}

func TestPicturesInTheDocumentsExistAndAreSmall(t *testing.T) {
	for document, text := range documents(t) {
		for _, picture := range regexp.MustCompile(`!\[[^\]]+\]\(([^):]+)\)`).FindAllStringSubmatch(text, -1) {
			file, err := os.Stat(filepath.Join(filepath.Dir(document), picture[1]))
			require.NoError(t, err, document)
			require.Less(t, file.Size(), int64(100<<10), picture[1])
		}
	}
}

// A link leads to a file, and to a heading where it names one.
func TestLinksInTheDocumentsLeadSomewhere(t *testing.T) {
	all := documents(t)
	for document, text := range all {
		for _, link := range regexp.MustCompile(`\]\(([^):#]*)(?:#([^)]+))?\)`).FindAllStringSubmatch(text, -1) {
			file, anchor := filepath.ToSlash(filepath.Join(filepath.Dir(document), link[1])), link[2]
			if link[1] == "" {
				file = document
			}
			require.FileExists(t, file, "%s links to it", document)
			if anchor != "" {
				require.Contains(t, anchors(all[file]), anchor, "%s links to %s", document, file)
			}
		}
	}
}

// anchors are what the headings of a document are known by.
func anchors(text string) (all []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		plain := regexp.MustCompile(`[^\w\s-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all = append(all, strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}

// What is typed must work: documents and workflows name targets of the Makefile.
func TestTargetsThatTheDocumentsNameExist(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	require.NoError(t, err)
	all := documents(t)
	all[".github/workflows/weekly.yml"] = "`make " + strings.Join(readWorkflow(t, "weekly.yml").Jobs["run"].Strategy.Matrix["target"], "` `make ") + "`"
	for document, text := range all {
		for _, target := range regexp.MustCompile("(?m)(?:`|^)make ([a-z-]+)").FindAllStringSubmatch(text, -1) {
			require.Regexp(t, `(?m)^`+target[1]+`:`, string(makefile), "%s names make %s", document, target[1])
		}
	}
}

// Where CONTRIBUTING.md says that things go, there is something.
func TestPlacesThatContributorsAreSentToExist(t *testing.T) {
	for _, place := range regexp.MustCompile("`([a-z_]+/[a-z_/*.]+)`").FindAllStringSubmatch(documents(t)["CONTRIBUTING.md"], -1) {
		files, err := filepath.Glob(place[1])
		require.NoError(t, err)
		if slices.Contains([]string{"lua", "html", "testing"}, strings.Split(place[1], "/")[0]) { // in the package just named, or Go's
			continue
		}
		require.NotEmpty(t, files, place[1])
	}
}

// widest is how many columns a line of a document may have, unless it is one that cannot be broken.
const widest = 120

func TestLinesOfTheDocumentsFitTheScreen(t *testing.T) {
	for document, text := range documents(t) {
		code, generated := false, false
		for number, line := range slices.Collect(strings.Lines(text)) {
			line = strings.TrimRight(line, "\n")
			switch {
			case strings.HasPrefix(strings.TrimSpace(line), "```"):
				code = !code
			case strings.HasPrefix(line, "<!-- "):
				generated = !strings.HasPrefix(line, "<!-- /")
			case code, generated, isTable(line), isLink(line):
			default:
				require.LessOrEqual(t, utf8.RuneCountInString(line), widest, "%s:%d", document, number+1)
			}
		}
		require.False(t, code, "%s has code without an end", document)
	}
}

func isTable(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "|") }

// isLink reports whether a line is a link, or a picture, and nothing else.
func isLink(line string) bool {
	return regexp.MustCompile(`^\s*(?:[-*] )?!?\[[^\]]*\](?:\([^)]*\)|: \S+)[.,]?$`).MatchString(line)
}
