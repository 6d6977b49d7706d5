package refcache_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
)

func TestWhatMayBeATag(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"a", "user:7", "größe/8", `["a"]`, "t:default", strings.Repeat("x", 128)} {
		require.NoError(t, refcache.CheckTag(tag))
	}
	for tag, want := range map[string]string{
		"":                       "empty",
		strings.Repeat("x", 129): "has 129 bytes, more than 128",
		"New York":               `tag "New York" has ' '`,
		"a,b":                    "','",
		"#1":                     "'#'",
		"a\n":                    `'\n'`,
		"a\u0085":                `'\u0085'`,
		"a\u00a0":                "'\\u00a0'",
		"\xff":                   "UTF-8",
	} {
		require.ErrorContains(t, refcache.CheckTag(tag), want)
	}
	require.NoError(t, refcache.CheckTags(nil))
	require.ErrorContains(t, refcache.CheckTags(make([]string, 17)), "17 tags, more than 16")
}
