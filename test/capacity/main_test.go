package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const rows = `{"scenario":"idle","case":"","redis_version":"1"}
{"scenario":"capacity","case":"a result","redis_version":"7.0.15","payload_bytes":128,"redis_bytes_per_call":{"median":929.4},"connections":null,"redis_cpu_us_per_call":{"median":75}}
{"scenario":"capacity","case":"an idle worker","redis_version":"7.0.15","payload_bytes":128,"connections":{"median":6},"redis_cpu_us_per_second":{"median":2004},"commands_per_second":{"median":1.333}}
`

func TestTableTakesThePlaceOfTheLastOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.md")
	require.NoError(t, os.WriteFile(file, []byte("before\n<!-- capacity -->\nold\n<!-- /capacity -->\nafter\n"), 0o600))
	for range 2 {
		require.NoError(t, run(strings.NewReader(rows), file, time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), "before\n<!-- capacity -->\n2026-11-30: "), "%s", text)
	require.Contains(t, string(text), "Redis 7.0.15; arguments and results of 128 bytes.\n\n")
	require.True(t, strings.HasSuffix(string(text), `|---|---|---|---|---|
| a result | 929 bytes | 75 µs a call |  |  |
| an idle worker |  | 2004 µs/s | 6.0 | 1.3/s |
<!-- /capacity -->
after
`), "%s", text)

	require.ErrorContains(t, run(strings.NewReader(""), file, time.Now()), "no row of capacity")
	require.NoError(t, os.WriteFile(file, []byte("before\n"), 0o600))
	require.ErrorContains(t, run(strings.NewReader(rows), file, time.Now()), "no place for the table")
}
