package codec_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/codec"
	"github.com/refq/refq/refcache"
)

func TestTurnsAreMadeOfWhatThePointersPointAt(t *testing.T) {
	const args = `{"a":{"b":[true,"x"]},"host":"h/ä","n":1e+3,"none":null,"odd":"50%,x","tenant":7}`
	for want, pointers := range map[string][]string{
		"":                {},
		"h/ä":             {"/host"},
		"50%,x":           {"/odd"},
		"1000":            {"/n"},
		`[true,"x"]`:      {"/a/b"},
		"h/ä,7":           {"/host", "/tenant"},
		"7,h/ä":           {"/tenant", "/host"},
		"50%25%2Cx,7":     {"/odd", "/tenant"},
		`,,[true%2C"x"],`: {"/none", "/absent", "/a/b", "/host/x"},
	} {
		turn := codec.TurnOf([]byte(args), refcache.TurnFields{Key: pointers, Ahead: time.Second})
		require.Equal(t, refcache.Turn{Key: want, Ahead: time.Second}, turn)
		require.Equal(t, refcache.Turn{Share: want}, codec.TurnOf([]byte(args), refcache.TurnFields{Share: pointers}))
	}
	for _, pointer := range []string{"/none", "/absent"} {
		require.Zero(t, codec.TurnOf([]byte(args), refcache.TurnFields{Key: []string{pointer}}))
	}
	require.Zero(t, codec.TurnOf([]byte(`7`), refcache.TurnFields{Key: []string{"/a"}}))
}
