package refcache_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
)

func TestAPauseIsTold(t *testing.T) {
	now := time.Now()
	at := time.Date(now.Year(), now.Month(), now.Day(), 14, 2, 0, 0, time.Local)
	until := at.Add(time.Hour)
	long := time.Date(2020, 3, 4, 5, 6, 7, 0, time.Local)
	for want, p := range map[string]refcache.Pause{
		"queue media is paused by ann, 14:02 to 15:02: release":   {Queue: "media", By: "ann", At: &at, Until: &until, Reason: "release"},
		"function geocode is paused by ann since 14:02: release":  {Func: "geocode", By: "ann", At: &at, Reason: "release"},
		"function geocode@2 is paused by ann since 14:02":         {Func: "geocode@2", By: "ann", At: &at},
		"queue media is paused since 2020-03-04 05:06":            {Queue: "media", At: &long},
		"queue media is paused":                                   {Queue: "media"},
		"queue media is paused until 15:02":                       {Queue: "media", Until: &until},
		"queue media is paused by ann, 2020-03-04 05:06 to 15:02": {Queue: "media", By: "ann", At: &long, Until: &until},
		"gate maps is paused":                                     {Gate: "maps"},
		"gate maps of queue media is paused":                      {Queue: "media", Gate: "maps"},
		"key a.example of gate maps of queue media is paused":     {Queue: "media", Gate: "maps", Key: new("a.example")},
		`key "" of gate maps of queue media is paused`:            {Queue: "media", Gate: "maps", Key: new("")},
	} {
		require.Equal(t, want, p.String())
	}
}

func TestAPauseHasAllOfItsFields(t *testing.T) {
	same(t, `{"queue":"media","func":null,"gate":null,"key":null,"by":null,"at":null,"until":null,"reason":null}`, refcache.Pause{Queue: "media"})
	full := refcache.Pause{Func: "f@2", By: "ann", At: &noon, Until: &later, Reason: "release"}
	want := `{"queue":null,"func":"f@2","gate":null,"key":null,"by":"ann","at":"2026-02-03T11:00:00.007Z","until":"2026-02-03T11:01:30.007Z","reason":"release"}`
	same(t, want, full)
	got, err := refcache.Response[int]{Paused: &full}.JSON(refcache.Standard)
	require.NoError(t, err)
	require.Contains(t, string(got), `"paused":`+want)
	got, err = refcache.TaskInfo{Paused: &full}.MarshalJSON()
	require.NoError(t, err)
	require.Contains(t, string(got), `"paused":`+want)
}

func TestAKeyThatWouldBeMisreadIsQuoted(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{"a.example": "a.example", "http://a/b?c=d&e": "http://a/b?c=d&e", "é": "é", "cut%2": "cut%2",
		"": `""`, "h,": `"h,"`, "a b": `"a b"`, `a"b`: `"a\"b"`, "a\x1b": `"a\x1b"`} {
		require.Equal(t, want, refcache.QuoteKey(key))
	}
}
