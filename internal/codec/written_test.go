package codec_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/codec"
)

func TestMembersThatAreAbsentAreAdded(t *testing.T) {
	added := []byte(`{"page":0,"o":{"z":1,"a":[]},"q\"":"x"}`)
	for args, want := range map[string]string{
		`{}`:                       `{"page":0,"o":{"z":1,"a":[]},"q\"":"x"}`,
		` {"url" : "u"} `:          `{"url":"u","page":0,"o":{"z":1,"a":[]},"q\"":"x"}`,
		`{"page":null,"o":1}`:      `{"o":1,"page":null,"q\"":"x"}`,
		`{"page":1,"o":2,"q\"":3}`: `{"page":1,"o":2,"q\"":3}`,
	} {
		got, err := codec.Written([]byte(args), added, nil)
		require.NoError(t, err)
		require.JSONEq(t, want, string(got))
		_, err = codec.Canonical(got)
		require.NoError(t, err)
	}
	for _, args := range []string{`7`, `[]`, `null`, `"x"`} {
		_, err := codec.Written([]byte(args), added, nil)
		require.ErrorContains(t, err, "must be an object: the function's args: adds members to it")
		got, err := codec.Written([]byte(args), nil, nil)
		require.NoError(t, err)
		require.Equal(t, args, string(got), "as it was written")
	}
	_, err := codec.Written([]byte(`{"a":1,"a":2}`), added, nil)
	require.ErrorContains(t, err, "duplicate")
}

// A member that is added counts for the key, too.
func TestKeysOfWrittenArgumentsAreChecked(t *testing.T) {
	_, err := codec.Written([]byte(`{}`), []byte(`{"url":"`+strings.Repeat("x", 2000)+`"}`), []string{"/url"})
	require.ErrorContains(t, err, "more than 1024")
	_, err = codec.Written([]byte(`{}`), nil, []string{"/url"})
	require.NoError(t, err)
}
