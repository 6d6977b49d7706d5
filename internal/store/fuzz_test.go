package store

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
)

// FuzzRecord: whatever stands in the fields of a record, it is read or refused, and what is read can be told to people.
func FuzzRecord(f *testing.F) {
	for i := range wordsOfRecord - 1 {
		name := nameOf(i)
		for _, text := range []string{"", "1", "-1", "x", "99999999999999999999", "1e308", "complete", "{", `{"c":3,"t":10,"m":"page 3"}`, "\xff\x00"} {
			f.Add(byte(i), text, name)
		}
	}
	const ref = refcache.Ref("media:0123456789abcdef0123456789abcdef")
	f.Fuzz(func(t *testing.T, field byte, text, more string) {
		state, policy := strings.Split(",failed,,,,1764000000000,,,1764000001000,,,,,,,r1,,", ","), strings.Split("f,,,,,,,,,,,", ",")
		reply := make([]any, inRecord)
		set := func(at int, text string) {
			switch {
			case at < len(state):
				state[at] = text
			case at < len(state)+len(policy):
				policy[at-len(state)] = text
			default:
				reply[2+at%3] = text
			}
		}
		set(int(field)%(wordsOfRecord-1), text)
		set(int(field/2)%(wordsOfRecord-1), more)
		reply[inState], reply[inPolicy], reply[inNow] = strings.Join(state, ","), strings.Join(policy, ","), "1764000002000"
		r, err := parseRecord(ref, reply)
		if err != nil {
			require.ErrorIs(t, err, refcache.ErrUnreadable)
			require.ErrorContains(t, err, string(ref))
			require.Less(t, len(err.Error()), 600)
			return
		}
		require.True(t, r.Status.IsFinal() || r.Status.InFlight())
		require.GreaterOrEqual(t, min(r.Cycle, r.Delivery, r.Attempt, r.RetryCount, r.LostCount, r.Policy.MaxRetries), 0)
		require.GreaterOrEqual(t, r.Policy.Delay(r.RetryCount, 0.5), time.Duration(0))
		_, err = json.Marshal(r.Info())
		require.NoError(t, err)
	})
}

// FuzzEvent: as FuzzAttempt, for the other history.
func FuzzEvent(f *testing.F) {
	for _, seed := range []string{`{"at":1764000000000,"kind":"retry","by":"ann@desk"}`, `{"at":-9223372036854775808}`, `{"at":1e3}`, `{}`, `null`, `[]`, ``,
		`{"kind":"\ud800","by":"\u0000"}`, `{"at":"x"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseEvent(text)
		if err != nil {
			require.ErrorContains(t, err, "event: ")
			return
		}
		entry := eventEntry{At: e.At.UnixMilli(), Kind: e.Kind, By: e.By, Times: e.Times}
		if e.Since != nil {
			entry.Since = e.Since.UnixMilli()
		}
		written, err := json.Marshal(entry)
		require.NoError(t, err)
		again, err := parseEvent(string(written))
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(e, again))
	})
}

// FuzzUnpack: whatever is stored as a result, it is unpacked within bounds or refused; and what was packed comes back.
func FuzzUnpack(f *testing.F) {
	zip := newCompressor()
	long := bytes.Repeat([]byte(`{"key":"value"},`), 1000)
	packed, _ := zip.pack(long)
	for _, seed := range [][]byte{packed, packed[:len(packed)/2], long, {}, []byte("\x28\xb5\x2f\xfd"), zip.enc.EncodeAll(make([]byte, 1<<20), nil)} {
		f.Add(seed, zstdEncoding)
		f.Add(seed, "")
	}
	f.Add([]byte("x"), "snappy")
	f.Fuzz(func(t *testing.T, stored []byte, encoding string) {
		result, err := zip.unpack(stored, encoding)
		if err != nil {
			require.ErrorContains(t, err, "unpack result: ")
			require.Nil(t, result)
		}
		require.LessOrEqual(t, len(result), max(maxResult, len(stored)))

		again, name := zip.pack(stored)
		require.LessOrEqual(t, len(again), len(stored))
		back, err := zip.unpack(again, name)
		require.NoError(t, err)
		require.True(t, bytes.Equal(stored, back))
	})
}

// FuzzEnd: whatever is published to an inbox, it is the end of a task, whole or not, or passed over.
func FuzzEnd(f *testing.F) {
	const head = "media:0123456789abcdef0123456789abcdef 1 complete"
	for _, seed := range []string{head, head + "\n", "", " ", "a b", head + "\n-", head + "\n" + format + strings.Repeat("-", inRecord+2),
		head + "\n" + format + "99999999999999999999:x", head + "\n" + format + "-1:x", "\xff 2 x\n1:\x00"} {
		f.Add(seed)
	}
	s := New(nil)
	f.Fuzz(func(t *testing.T, message string) {
		end, ok := s.ParseEnd(message)
		require.False(t, strings.ContainsAny(string(end.Ref), " \n\t"))
		require.False(t, end.Whole && (!ok || end.Record.Ref != end.Ref))
	})
}
