package codec_test

import (
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
