//go:build unix

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
)

// A failover takes writes along. It makes no results, and no wrong ones.
func TestAuditForgivesWhatLostWritesExplainAndNothingElse(t *testing.T) {
	const ref = "chaos:0123456789abcdef0123456789abcdef"
	at := time.Now()
	entry := func(k kind, run string, more line) line {
		more.Kind, more.Run, more.At = k, run, at.UnixMicro()
		return more
	}
	works := []line{entry(started, "a", line{}), entry(returned, "a", line{})}
	complete := refcache.TaskInfo{RefID: ref, Status: refcache.Complete, Cycle: 1, Attempt: 1}
	told := func(run, text string) []line {
		return []line{entry(answered, run, line{Status: refcache.Complete, Text: text})}
	}
	for name, c := range map[string]struct {
		book             book
		stored           string
		wrong, forgiving int // without and with a span in which writes got lost
	}{
		"adds up":              {book{works: works, answers: told("a", "")}, "a", 0, 0},
		"another run was told": {book{works: works, answers: told("b", "")}, "a", 1, 0},
		"a run of nobody":      {book{works: works}, "c", 1, 1},
		"no execution":         {book{answers: told("a", "")}, "a", 1, 1},
		"a wrong answer":       {book{works: works, answers: told("a", `wrong answer: "x"`)}, "a", 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c.book.ref = ref
			lossy := []span{{from: at.Add(-time.Second), till: at.Add(time.Second)}}
			require.Len(t, audited(&c.book, complete, c.stored, nil).wrong, c.wrong)
			require.Len(t, audited(&c.book, complete, c.stored, lossy).wrong, c.forgiving)
		})
	}
}

func audited(b *book, info refcache.TaskInfo, run string, lossy []span) account {
	a := account{infos: map[refcache.Ref]refcache.TaskInfo{}}
	a.add(b, info, answer{Run: run}, true, lossy)
	return a
}
