package codec_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/codec"
)

func TestKeysAreMadeOfWhatThePointersPointAt(t *testing.T) {
	const args = `{"":0,"a/b":[1,[2],{"c":null}],"m~n":"x","url":"http://h"}`
	for want, pointers := range map[string][]string{
		`[["http://h"]]`:            {"/url"},
		`[["http://h"],[]]`:         {"/url", "/size"},
		`[[null]]`:                  {"/a~1b/2/c"},
		`[["x"],[[2]],[1],[0]]`:     {"/m~0n", "/a~1b/1", "/a~1b/0", "/"},
		`[[],[],[],[],[],[],[],[]]`: {"/a~1b/3", "/a~1b/-", "/a~1b/01", "/a~1b/x", "/url/x", "/x/y", "/a~1b/-1", "/url/"},
	} {
		require.Equal(t, want, codec.KeyOf([]byte(args), pointers))
	}
	require.Equal(t, `[[]]`, codec.KeyOf([]byte(`7`), []string{"/a"}))
	require.Equal(t, `[[]]`, codec.KeyOf([]byte(`[]`), []string{"/0"}))
}

func TestAKeyIsNoArguments(t *testing.T) {
	part, err := codec.KeyPart("k")
	require.NoError(t, err)
	require.Equal(t, "=k", string(part))
	_, err = codec.Canonical(part)
	require.Error(t, err, "no arguments look so")
	for want, key := range map[string]string{"the key is empty": "", "has 1025 bytes, more than 1024": strings.Repeat("x", 1025),
		"no valid UTF-8": "\xff"} {
		_, err := codec.KeyPart(key)
		require.ErrorContains(t, err, want)
	}
}

// The ref_id of a call never changes between releases.
func TestRefsOfKeys(t *testing.T) {
	part, err := codec.KeyPart(codec.KeyOf([]byte(`{"url":"http://h"}`), []string{"/url", "/size"}))
	require.NoError(t, err)
	require.Equal(t, "q:91ac97a0b5c8aa1bd6e51fc63f3577f9", string(codec.NewRef("default", "q", "thumb", 1, part)))
}
