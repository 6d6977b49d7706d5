package producer_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func TestCallsHaveTheTurnThatTheirFunctionSays(t *testing.T) {
	inOffice(t, func(w *office) {
		maps := refcache.Gate{Name: "maps", Each: 5}
		fields := refcache.TurnFields{Key: []string{"/url"}, Share: []string{"/size"}, Ahead: 30 * time.Second}
		for name, c := range map[string]struct {
			f    refcache.Func[page, page]
			want store.Turn
		}{
			"none":   {refcache.Func[page, page]{Name: "f"}, store.Turn{}},
			"gate":   {refcache.Func[page, page]{Name: "f", Gate: maps}, store.Turn{Gate: "maps"}},
			"fields": {refcache.Func[page, page]{Name: "f", Gate: maps, TurnFields: fields}, store.NewTurn("maps", "a b/c", "7", 30*time.Second)},
			"func": {refcache.Func[page, page]{Name: "f", Gate: maps, Turn: func(in page) refcache.Turn { return refcache.Turn{Key: in.URL, Ahead: 1500} }},
				store.NewTurn("maps", "a b/c", "", 0)},
		} {
			turn, err := producer.TurnOf(w.P, c.f, page{"a b/c", 7})
			require.NoError(w, err, name)
			require.Equal(w, c.want, turn, name)
		}
		turn, err := producer.TurnOf(w.P, refcache.Func[json.RawMessage, json.RawMessage]{Name: "f", Gate: maps, TurnFields: fields}, json.RawMessage(`{"size": 7.0, "url": "a b/c"}`))
		require.NoError(w, err)
		require.Equal(w, store.NewTurn("maps", "a b/c", "7", 30*time.Second), turn, "from JSON it is the same")
	})
}

func TestTurnsThatCannotBeAreRefused(t *testing.T) {
	inOffice(t, func(w *office) {
		f := refcache.Func[page, page]{Name: "f", Gate: refcache.Gate{Name: "maps"}, Turn: func(page) refcache.Turn { return refcache.Turn{Ahead: 25 * time.Hour} }}
		_, err := producer.Submit(w.Context(), w.P, f, page{})
		require.EqualError(w, err, "call f: turn: ahead is 25h0m0s, must be 0 to 24h0m0s")
		require.Empty(w, w.Redis.Keys(w.Context(), "*").Val(), "nothing is written")

		f.Turn = func(page) refcache.Turn { panic("turned") }
		require.PanicsWithValue(w, "turned", func() { _, _ = producer.Submit(w.Context(), w.P, f, page{}) })
		_, err = producer.RefOf("", f, page{})
		require.NoError(w, err, "a ref_id has nothing to do with turns")
	})
}
