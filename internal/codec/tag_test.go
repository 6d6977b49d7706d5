package codec_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/codec"
)

func TestTagsOfArguments(t *testing.T) {
	t.Parallel()
	const args = `{"a":1e50,"b":true,"list":["x",null],"m~n":"q\"","n":1.25e+1,"o":{"k":"v"},"user":"ann"}`
	for template, want := range map[string]string{
		"all": "all", "user:{/user}": "user:ann", "{/user}{/n}": "ann12.5", "{/b}": "true", "{/m~0n}/{/list/0}!": `q"/x!`,
		"{/a}": "1e50", "{/o}": `{"k":"v"}`, "{/missing}": "", "x:{/list/1}": "", "{/user}:{/list/9}": "",
	} {
		tag, err := codec.ParseTag(template)
		require.NoError(t, err)
		got, ok := tag.Of([]byte(args))
		require.Equal(t, want, got, template)
		require.Equal(t, want != "", ok)
	}
}

func TestWhatMayBeATag(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"a", "user:7", "größe/8", `["a"]`, "t:default", strings.Repeat("x", 128)} {
		require.NoError(t, codec.CheckTag(tag))
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
		require.ErrorContains(t, codec.CheckTag(tag), want)
	}
	require.NoError(t, codec.CheckTags(nil))
	require.ErrorContains(t, codec.CheckTags(make([]string, 17)), "17 tags, more than 16")
}
