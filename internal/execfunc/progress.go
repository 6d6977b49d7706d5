package execfunc

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/refq/refq/refcache"
)

const progressPrefix = "refq-progress:"

// Eighteen digits always fit an int64.
var progressLine = regexp.MustCompile(`^` + progressPrefix + `\s*(\d{1,18})(?:\s*/\s*(\d{1,18}))?(?:\s+(.*))?$`)

// mayBe reports whether a line that begins like this can be one with a prefix.
func mayBe(prefix string, begin []byte) bool {
	n := min(len(begin), len(prefix))
	return bytes.HasPrefix(begin, []byte(prefix[:n]))
}

// parseProgress reads "refq-progress: CURRENT[/TOTAL][ MESSAGE]", the whole of a line without its end.
func parseProgress(line []byte) (p refcache.Progress, ok bool) {
	m := progressLine.FindSubmatch(line)
	if m == nil {
		return p, false
	}
	p.Current, _ = strconv.ParseInt(string(m[1]), 10, 64)
	p.Total, _ = strconv.ParseInt(string(m[2]), 10, 64) // 0 if missing
	p.Message = strings.TrimSpace(strings.ToValidUTF8(string(m[3]), "\uFFFD"))
	return p, true
}
